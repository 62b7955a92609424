"""Data that cannot be what the experiment says it is."""

from bad_inputs.row import Bad

DATA: tuple[Bad, ...] = ()
