"""Every command in the guides has the options that it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tfdvbpr.cli import app
from tfdvbpr_export.cli import app as export_app
from tfdvbpr_serving.cli import app as serve_app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md")), *sorted(ROOT.glob("*/README.md"))]
APPS = {"tfdvbpr": app, "tfdvbpr-export": export_app, "tfdvbpr-serve": serve_app}


def _commands(page: Path) -> Iterator[str]:
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    yield from re.findall(r"^ +(tfdvbpr(?:-export|-serve)? .*?)(?: &)?$", text, flags=re.MULTILINE)


def shown() -> list[tuple[str, str]]:
    return [(str(page.relative_to(ROOT)), command) for page in PAGES for command in _commands(page)]


def _parse(command: Any, arguments: list[str]) -> None:
    """Parses as the command line would, and runs nothing."""
    if hasattr(command, "commands"):
        name = next(argument for argument in arguments if not argument.startswith("-"))
        assert name in command.commands, f"there is no command {name}"
        place = arguments.index(name)  # an option's value may be the same word
        _parse(command.commands[name], arguments[:place] + arguments[place + 1 :])
    else:
        command.make_parser(command.context_class(command)).parse_args(list(arguments))


@pytest.mark.parametrize(("page", "command"), shown())
def test_a_shown_command_has_its_options(page: str, command: str) -> None:
    name, *arguments = shlex.split(command, comments=True)
    arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
    _parse(typer.main.get_command(APPS[name]), arguments)


def test_commands_are_found_and_wrong_ones_refused() -> None:
    assert len(shown()) > 50
    with pytest.raises(Exception, match="No such option: --nonsense"):
        _parse(typer.main.get_command(app), ["train", "shop.dataset", "--nonsense"])
