"""Calls of the command line in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Call = Callable[..., int]


def complaint(call: Call, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a call that must end with 2."""
    assert call(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    return lines[0]
