"""Sources, text, vocabulary, splits, prepared data and the batch plan."""
