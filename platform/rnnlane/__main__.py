"""`python -m rnnlane`."""

from rnnlane.cli.main import main

main()
