"""Which row is in which step on which rank, and the tensors made of it."""
