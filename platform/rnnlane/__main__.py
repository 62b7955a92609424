"""The command `rnnlane`, also as `python -m rnnlane`."""

import signal


def main() -> None:
    """Imports the command and runs it.

    The import takes a second. Ctrl-C in it ends the process at once and without a traceback: there
    is nothing to record yet.
    """
    # What a shell starts in the background ignores Ctrl-C; that stays so.
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rnnlane.cli.main import main as run

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
