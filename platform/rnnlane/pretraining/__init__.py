"""Recurrent language models of texts without labels, which classifiers start from."""
