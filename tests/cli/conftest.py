from __future__ import annotations

import pytest
from cli_calls import Call

from tfdvbpr import cli


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `tfdvbpr ARGUMENTS...` in this process and returns its exit code."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["tfdvbpr", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run
