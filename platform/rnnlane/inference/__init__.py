"""A trained classifier that answers for texts."""
