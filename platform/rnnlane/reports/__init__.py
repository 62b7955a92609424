"""Figures, tables and pages about a run or a search."""
