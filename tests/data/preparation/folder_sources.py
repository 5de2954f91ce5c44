"""Small folders of photos and clicks, and what becomes of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare

Actions = list[tuple[str, str]]
NUM_GOOD, NUM_TRUNCATED, NUM_USERS = 95, 5, 30


def item(number: int) -> tuple[str, str, bytes]:
    data = encoded(noisy_picture((RED, BLUE)[number % 2], (24, 18), number))
    return f"item-{number}", ("shirt", "shoe", "dress")[number % 3], data


def actions(num_items: int, *, per_user: int = 10) -> Actions:
    generator = np.random.default_rng(0)
    return [
        (f"user {user}", f"item-{item}")
        for user in range(NUM_USERS)
        for item in generator.choice(num_items, per_user, replace=False)
    ]


def prepared(source: Path, output: Path, **options: object) -> PreparedDataset:
    chosen = {"image_size": (16, 16), "max_loss": 1.0, **options}
    return prepare(IMPORTERS["folder"]().read(source), output, options=PrepareOptions(**chosen), source_format="folder")


def quarantine_rows(dataset: PreparedDataset) -> list[dict[str, str]]:
    with (dataset.path / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
