"""`tfdvbpr`: parse, call one function, map errors to one line and an exit code. One module a room of the library."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tfdvbpr._version import __version__
from tfdvbpr.cli import (
    attacks,
    datasets,
    designing,
    evaluation,
    image_evaluation,
    progress,
    recommending,
    reporting,
    training,
)
from tfdvbpr.cli.options import IfExistsOption, OutputOption, out
from tfdvbpr.errors import LostWorkerError, TfdvbprError
from tfdvbpr.files import is_disk_full
from tfdvbpr.suggestions import nearest
from tfdvbpr.text import one_line, printable

_LOG_OPTIONS = ("--quiet", "-q", "--verbose", "-v")


class _Commands(TyperGroup):
    """The commands, with --quiet and --verbose before or after a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Moves the whole program's log options before the command."""
        end = args.index("--") if "--" in args else len(args)
        moved = [each for each in args[:end] if each in _LOG_OPTIONS]
        return super().parse_args(ctx, [*moved, *(each for each in args[:end] if each not in moved), *args[end:]])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Names the nearest commands for an unknown one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = "".join(
                f" Did you mean {' or '.join(found)}?" for found in [nearest(args[0], self.commands)] if found
            )
            ctx.fail(f"No such command {args[0]!r}.{near}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Names the nearest options for an unknown one."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer's copy of Click is private: the error of a wrong option is known by its attributes.
            wrong: Any = error
            if hasattr(wrong, "option_name") and hasattr(wrong, "possibilities"):
                command = wrong.ctx.command if wrong.ctx is not None else self
                wrong.possibilities = nearest(
                    wrong.option_name, [name for each in command.params for name in each.opts]
                )
            raise


app = typer.Typer(
    name="tfdvbpr",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Visually-aware recommendation and design: from product photos and clicks to rankings and new images.",
    epilog="Every step on synthetic data: [bold]tfdvbpr demo --output demo[/bold]. "
    "On your own data: prepare, train, evaluate, train-gan, design; then tfdvbpr-export and tfdvbpr-serve.",
)


def _unwrapped(text: str) -> str:
    """A docstring whose paragraphs are one line each, for the terminal to wrap; those that begin with \\b stay."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if each.startswith("\b") else " ".join(each.split("\n")) for each in paragraphs)


for commands in (datasets, training, evaluation, image_evaluation, attacks, reporting, recommending, designing):
    for each in commands.app.registered_commands:
        each.help = _unwrapped(each.callback.__doc__ or "") if each.callback else None
    app.add_typer(commands.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only. Works after a command too.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print details too. Works after a command too.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    context.call_on_close(progress.install_log_handler(level=level))


@app.command(epilog="Example: [bold]tfdvbpr demo --output demo[/bold], then open demo/report.html")
def demo(
    output: OutputOption,
    seed: Annotated[int, typer.Option(help="Seed of every random number.", min=0)] = 0,
    if_exists: IfExistsOption = "error",
) -> None:
    """Run every step on synthetic data: train, compare, design, export, serve, and write a report.

    Renders garments and simulates shoppers with known preferences; trains DVBPR, baselines and a GAN; generates designs
    for several users and checks them against the known preferences; exports and serves both models, and compares the
    served responses with Python's. About 15 minutes on 2 cores. The same command continues an interrupted demo.
    """
    from tfdvbpr.demo import run_demo

    report = run_demo(output, seed=seed, if_exists=if_exists)
    out.print(f"Report: {report.resolve()}", soft_wrap=True)


def main() -> None:
    """The entry point: one line on stderr, exit code 2 for what the user can correct and 1 for the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except LostWorkerError as error:
        _stop("", error, code=1)
    except TfdvbprError as error:
        _stop("", error, code=2)
    except SystemExit as stop:
        if not hasattr(stop, "message"):
            raise
        _stop("", stop, code=stop.code if isinstance(stop.code, int) else 1)
    except KeyboardInterrupt:
        _stop("", "interrupted; the same command continues an interrupted training", code=130)
    except Exception as error:
        if is_disk_full(error):
            _stop("", f"There must be room to write. The disk is full ({error}). Make room and repeat it.", code=2)
        if os.environ.get("TFDVBPR_TRACEBACK"):
            print(printable(traceback.format_exc(), keep="\n"), file=sys.stderr)
        hint = "" if os.environ.get("TFDVBPR_TRACEBACK") else " (TFDVBPR_TRACEBACK=1 shows where)"
        _stop(type(error).__name__ + ": ", f"{error}{hint}", code=1)


def _stop(kind: str, message: object, *, code: int) -> None:
    console = progress.console
    console.print("tfdvbpr:", one_line(f"{kind}{message}"), soft_wrap=not console.is_terminal)
    sys.exit(code)
