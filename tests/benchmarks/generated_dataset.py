"""A prepared dataset of any size, its pictures smooth noise, for measurements of speed and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import simplejpeg
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine, Source


def jpeg(number: int, size: tuple[int, int]) -> bytes:
    """About as hard to decode as a photo: blurred colours and a little noise, quality 90."""
    generator = np.random.default_rng(number)
    height, width = size
    coarse = Image.fromarray(generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    pixels = (smooth + generator.integers(-12, 13, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=90, colorsubsampling="420")
    return encoded


def generated(
    folder: Path,
    *,
    num_items: int,
    num_users: int,
    actions_per_user: int,
    size: tuple[int, int],
    cached: bool,
    num_categories: int = 1,
) -> PreparedDataset:
    """Every item has a picture of its own; users act at random.

    Args:
        folder: where it goes.
        num_items: of which each has a chance of actions.
        num_users: each with `actions_per_user` actions, or fewer where two fall on one item.
        actions_per_user: see there.
        size: (height, width) of the pictures, as files and as prepared.
        cached: whether `prepare` writes the decoded file.
        num_categories: of equal size.
    """
    generator = np.random.default_rng(0)
    names = [str(number) for number in range(num_items)]
    categories = [f"thing {number % num_categories}" for number in range(num_items)]
    items = pl.DataFrame({"item_id": names, "category": categories, "image": names})
    users = np.repeat(np.arange(num_users), actions_per_user)
    chosen = generator.integers(0, num_items, len(users))
    actions = pl.DataFrame({"user_id": users, "item_id": chosen}).cast(pl.String).unique(maintain_order=True)
    source = Source(
        f"{num_items} generated items",
        items.with_row_index(ROW, 1),
        actions.with_row_index(ROW, 1),
        lambda name: jpeg(int(name), size),
        Quarantine(),
    )
    options = PrepareOptions(image_size=size, max_cache_bytes=8 << 30 if cached else 0)
    return prepare(source, folder, options=options, source_format="generated")
