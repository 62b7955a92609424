"""The command `rnnlane`: its verbs, and how errors are printed."""

from __future__ import annotations

import _thread
import gc
import itertools
import os
import signal
import sys
from importlib import metadata
from types import FrameType
from typing import Annotated, Any

import typer

from rnnlane.cli import (
    baseline,
    clean,
    compare,
    doctor,
    ensemble,
    evaluate,
    init,
    jobs,
    manifest,
    output,
    predict,
    prepare,
    pretrain,
    promote,
    runs,
    schema,
    submit,
    train,
    tune,
    ui,
    validate,
)
from rnnlane.cli.arguments import check_utf8
from rnnlane.cli.progress import acknowledge_interrupt
from rnnlane.cli.verb import Verb, VerbGroup
from rnnlane.config.paths import home, provide_account
from rnnlane.errors import ConfigError, RnnlaneError, disk_error, is_disk_error
from rnnlane.training.memory import set_torch_variables

_LATER_S = 0.02


class _Verbs(VerbGroup):
    """Without this, Typer exits silently when a command is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    name="rnnlane",
    cls=_Verbs,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    init.init,
    validate.validate,
    prepare.prepare,
    pretrain.pretrain,
    train.train,
    baseline.baseline,
    tune.tune,
    ensemble.ensemble,
    evaluate.evaluate,
    predict.predict,
    compare.compare,
    promote.promote,
    submit.submit,
    manifest.manifest,
    runs.runs,
    ui.ui,
    schema.schema,
    doctor.doctor,
    clean.clean,
):
    app.command(cls=Verb)(verb)
app.add_typer(jobs.app)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        output.write(f"rnnlane {metadata.version('rnnlane')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def rnnlane(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Distributed experiments for text classification with recurrent networks."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Entry point: exit code 0, 2 for bad input, 1 for other failures, 130 when interrupted."""
    # torch and MLflow create a million objects that live until exit: garbage collection during
    # their import takes an eighth of a short command's time.
    gc.set_threshold(1_000_000)
    set_torch_variables()
    if not _asks_for_help(sys.argv[1:]):
        output.claim_stdout()
    _heed_interrupts()
    as_json = "--json" in sys.argv
    try:
        check_utf8(sys.argv[1:], os.environ)
        provide_account()
        code = app(standalone_mode=False)
    except RnnlaneError as error:
        output.write_error(error, as_json=as_json)
        code = error.exit_code
    except typer.Abort:
        if as_json:
            output.write_json({"error": {"message": "interrupted", "where": None, "remedy": None}})
        else:
            output.note("interrupted")
        code = 130
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if is_disk_error(error):
            trouble = disk_error(error, getattr(error, "filename", None) or home())
            output.write_error(trouble, as_json=as_json)
            code = trouble.exit_code
        else:
            code = _usage_error(error, as_json=as_json)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # its default would end the process otherwise
    _keep_logs_if_failed(code)
    sys.stderr.flush()
    gc.freeze()  # otherwise Python traverses them once more at exit, for up to a second
    sys.exit(code if isinstance(code, int) else 0)


def _asks_for_help(arguments: list[str]) -> bool:
    """Whether the help is printed, by what knows only the process's own stdout."""
    return arguments in ([], [jobs.app.info.name]) or bool({"--help", "-h"} & set(arguments))


def _keep_logs_if_failed(code: object) -> None:
    """Leaves the logs of a Ray that was started here for a person, if it may be to blame."""
    session = sys.modules.get("rnnlane.ray_cluster.session")
    if session is not None and code == 1:
        session.keep_logs()


def _usage_error(error: Exception, *, as_json: bool) -> int:
    """Click's own errors: an unknown verb or option, a missing argument. Others are bugs."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        if as_json:
            message = f"{type(error).__name__}: {error}"
            output.write_json({"error": {"message": message, "where": None, "remedy": None}})
        raise error
    message = _broken_rule(error) or str(format_message()).rstrip(".")
    verb = getattr(getattr(error, "ctx", None), "info_name", None)
    remedy = "see `rnnlane --help`"
    if verb == "predict" and hasattr(error, "option_name"):
        remedy += '; a text that begins with a dash comes after --: rnnlane predict -- "-1 of 10"'
    usage = ConfigError(message, where="command line", remedy=remedy)
    output.write_error(usage, as_json=as_json)
    return usage.exit_code


def _broken_rule(error: Any) -> str | None:
    """The rule and the value of an option; None if the error is about something else."""
    options = getattr(getattr(error, "param", None), "opts", [])
    reason = str(getattr(error, "message", "")).removeprefix("Value error, ").rstrip(".")
    choices = reason.partition(" is not one of ")[2]
    if reason.startswith("it must "):
        return f"{options[0]} {reason.removeprefix('it ')}"
    if choices:
        rule = f"must be one of {choices}"
    elif reason.startswith("Input should "):
        rule = f"must {reason.removeprefix('Input should ').partition(',')[0]}"
    else:
        return None
    after = [value for name, value in itertools.pairwise(sys.argv) if name in options]
    joined = [item.partition("=")[2] for item in sys.argv if item.partition("=")[0] in options]
    value = next(iter([*after, *joined]), None)
    return f"{options[0]} {rule}" + ("" if value is None else f", but got {value!r}")


def _heed_interrupts() -> None:
    """Ctrl-C and SIGTERM end the command by a KeyboardInterrupt, so that its run is recorded."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _retry_if_ignored
    # A shell lets what it starts in the background ignore Ctrl-C; that stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, but not within Python's import system, where it tries again later.

    There the exception can be lost in a callback and leave the import lock locked for ever, so
    that the next import of another thread hangs.
    """
    if number != signal.SIGALRM:
        # In a thread: this one may hold the locks of what writes to the terminal.
        _thread.start_new_thread(acknowledge_interrupt, ())
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)
        return
    raise KeyboardInterrupt


def _retry_if_ignored(unraisable: Any) -> None:
    """Interrupts again where Python has dropped the exception, as it does in callbacks."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)
    else:
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    main()
