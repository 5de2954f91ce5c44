"""The page of a blind panel: a pair of images at a time, and a file of choices at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.photos import photo_for_page
from tfdvbpr.evaluation.designs.panel import Pair, key_table
from tfdvbpr.files import write_csv
from tfdvbpr.reporting.html import data_uri, png_uri, render

PAGE_NAME, KEY_NAME = "panel.html", "key.csv"


def write_panel(pairs: Sequence[Pair], dataset: PreparedDataset, folder: Path) -> None:
    """Writes panel.html, for people, and key.csv, which stays with whoever asks them.

    Args:
        pairs: from `panel_pairs`.
        dataset: of the photos of liked items.
        folder: a new folder.
    """
    folder.mkdir()
    key = key_table(pairs)
    # Under which a browser keeps choices until they are saved.
    name = f"tfdvbpr-panel-{key.hash_rows(seed=0).sum():016x}"
    shown = [
        {
            "category": one.category,
            "liked": [data_uri("image/jpeg", photo_for_page(dataset.images.jpeg(item))) for item in one.liked],
            "images": [png_uri(image) for image in one.images],
        }
        for one in pairs
    ]
    page = render("tfdvbpr.reporting", "panel.html.jinja", pairs=shown, name=name)
    (folder / PAGE_NAME).write_text(page, encoding="utf-8")
    write_csv(key, folder / KEY_NAME)
