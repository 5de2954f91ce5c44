"""What every function here takes: a thing or its folder, and somebody to tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import Run

Told = Callable[[str], None]


def quiet(line: str) -> None:
    """Takes a line for people and says nothing."""


def opened_dataset(dataset: PreparedDataset | Path | str) -> PreparedDataset:
    """The dataset, opened if it is a folder."""
    return dataset if isinstance(dataset, PreparedDataset) else PreparedDataset.open(dataset)


def opened_run(run: Run | Path | str) -> Run:
    """The run, opened if it is a folder."""
    return run if isinstance(run, Run) else Run.open(run)
