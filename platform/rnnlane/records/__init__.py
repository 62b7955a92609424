"""Plain values that travel: what happened, in words that no library owns."""
