"""Raw rows -> prepared data: clean, split, tokenize, count, encode, write."""
