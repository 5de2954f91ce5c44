"""Product photos in a page, as the dataset keeps them, and reduced where they are large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.captions import item_caption
from tfdvbpr.data.images.photos import photo_for_page
from tfdvbpr.reporting.blocks import Tile
from tfdvbpr.reporting.facts import Facts
from tfdvbpr.reporting.html import data_uri


def item_tiles(
    facts: Facts, items: npt.NDArray[np.integer[Any]], extra: Sequence[Sequence[str]] = (), *, marked: bool = False
) -> list[Tile]:
    """A tile an item: its stored photo, its title, id and price, and further lines."""
    table, images = facts.dataset.items.table, facts.dataset.images
    return [
        Tile(
            data_uri("image/jpeg", photo_for_page(images.jpeg(int(item)))),
            [*item_caption(table, int(item)), *(extra[number] if number < len(extra) else ())],
            marked,
        )
        for number, item in enumerate(items)
    ]
