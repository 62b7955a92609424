"""What happened in a run, as plain values that need no library."""
