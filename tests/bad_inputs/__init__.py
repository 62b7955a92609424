"""Inputs that must be refused: what comes in, the exit code and the one line that must come out.

A row is a command with the files and the environment that it meets. The tables are
:mod:`bad_inputs.experiments`, :mod:`bad_inputs.language_models`, :mod:`bad_inputs.commands` and
:mod:`bad_inputs.data`; to add a row, write it into one of them.
"""
