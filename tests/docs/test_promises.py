"""Every test that the pages on safety name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [ROOT / "docs" / "reference" / name for name in ("safety.md", "threat-model.md")]


def _missing(text: str) -> list[str]:
    """Names of test files (ends of paths are enough) and of test functions, in backticks, that are nowhere."""
    functions = {name for path in FILES for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    paths = tuple(f"/{path.relative_to(ROOT).as_posix()}" for path in FILES)
    named = re.findall(r"`((?:[\w/]+/)?test_\w+(?:\.py)?)`", text)
    return [
        name
        for name in named
        if (name not in functions if not name.endswith(".py") else not any(path.endswith(f"/{name}") for path in paths))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_test_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("`test_") + text.count("/test_") > 5
    assert _missing(text) == []


def test_a_missing_name_is_found() -> None:
    text = "`test_a_missing_name_is_found`, `docs/test_promises.py`, `test_none_such`, `docs/test_none.py`"
    assert _missing(text) == ["test_none_such", "docs/test_none.py"]
