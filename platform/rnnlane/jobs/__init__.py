"""Experiments as jobs on somebody's cluster."""
