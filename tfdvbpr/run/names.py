"""Distinct names of runs, for tables, plots and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def distinct_names(folders: Sequence[Path], *, taken: Sequence[str] = ()) -> list[str]:
    """The folders' names; where some are the same, with as many of their parents' names as tell them apart.

    A folder that is given twice is numbered.

    Args:
        folders: of runs, in order.
        taken: names that none may have.

    Example:
        >>> distinct_names([Path("/spring/dvbpr"), Path("/autumn/dvbpr"), Path("/spring/popularity")])
        ['spring/dvbpr', 'autumn/dvbpr', 'popularity']
    """
    paths = [folder.resolve() for folder in folders]
    names = [_shortest(path, set(paths) - {path}) for path in paths]
    found: list[str] = []
    for name in names:
        number, numbered = 2, name
        while numbered in found or numbered in taken:
            number, numbered = number + 1, f"{name}-{number}"
        found.append(numbered)
    return found


def _shortest(path: Path, others: set[Path]) -> str:
    """The fewest last parts of a path that no other path ends with."""
    for length in range(1, len(path.parts)):
        if all(other.parts[-length:] != path.parts[-length:] for other in others):
            return "/".join(path.parts[-length:])
    return str(path)


def run_title(name: str, model: str) -> str:
    """A run's name with its model, which is left out where the folder has the model's name.

    Example:
        >>> run_title("spring", "dvbpr"), run_title("dvbpr", "dvbpr")
        ('spring (dvbpr)', 'dvbpr')
    """
    return name if name == model else f"{name} ({model})"
