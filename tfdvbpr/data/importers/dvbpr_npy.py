"""The .npy files of the DVBPR paper's authors: AmazonFashion, AmazonWomen, AmazonMen and Tradesy.

Each is a pickled row `[user_train, user_validation, user_test, Item, usernum, itemnum]`, written by Python 2. Users and
items are numbered from 0; item 0 is an item like any other. `user_train[u]` is a list of dicts with `productid`,
`Item[i]` a dict with the JPEG in `imgs` and, in AmazonFashion alone, a one-hot category of six in `c`. The authors name
the categories nowhere, so that they are called category-0 to category-5 here.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from tfdvbpr.child import read_in_child
from tfdvbpr.data.importers import dvbpr_npy_reader
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import DEFAULT_CATEGORY, Importer, Quarantine, Source
from tfdvbpr.errors import SourceError


class DvbprNpyImporter(Importer):
    """Reads a file of the DVBPR paper's authors."""

    summary: ClassVar[str] = "an .npy file of the paper's authors, or a folder with one."

    def read(self, source: Path) -> Source:
        """Reads one of the authors' files; the JPEG files are kept in a temporary file.

        The authors' split is kept in the column `split`. Ids are their numbers. In the quarantine the row of an action
        is its position in its user's list, from 1; the row of an item is its number. The pickle is read in another
        process, which has the memory and time that a file of its size needs.

        Args:
            source: the .npy file, or a folder that holds no other.

        Raises:
            SourceError: if there is no such file, it is damaged or of another layout, its pickle needs anything but
                numpy arrays and plain containers, or it needs more than a file of its size can hold.
        """
        path = _npy_file(Path(source))
        images = _TemporaryImages()
        found = read_in_child(dvbpr_npy_reader.read, path, images.descriptor)
        quarantine = Quarantine()
        for where, row, value, kind, detail in found["quarantine"]:
            quarantine.add(where, row, value, kind=kind, detail=detail)
        items = _items(found["items"])
        places = dict(zip(items["image"].to_list(), found["jpegs"], strict=True))

        def image_bytes(image: str) -> bytes:
            start, length = places.get(image, (0, 0))
            if not length:
                raise OSError("the item has no bytes in `imgs`")
            return os.pread(images.descriptor, length, start)

        interactions = _interactions(found["actions"])
        return Source(path.stem, items, interactions, image_bytes, quarantine, f"{path.name}: Item", path.name)


class _TemporaryImages:
    """A file without a name, which is gone with its last use, however the process ends."""

    def __init__(self) -> None:
        self.descriptor, name = tempfile.mkstemp()
        os.unlink(name)
        weakref.finalize(self, os.close, self.descriptor)


def _npy_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.npy")) if path.is_dir() else []
    if len(found) != 1:
        raise SourceError(
            f"SOURCE must be one of the authors' .npy files, or a folder with one. {path} "
            f"{f'holds {len(found)}' if path.is_dir() else 'is neither'}. Give the file itself."
        )
    return found[0]


def _interactions(actions: list[Any]) -> pl.DataFrame:
    """user_id, item_id, split and the running number of every action that names an item."""
    schema = {"user_id": pl.Int64, "item_id": pl.Int64, "split": pl.String}
    table = pl.DataFrame(actions, schema=schema, orient="row")
    numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW)
    return table.with_columns(pl.col("user_id", "item_id").cast(pl.String), numbers)


def _items(items: list[Any]) -> pl.DataFrame:
    """The table of items."""
    table = pl.DataFrame(items, schema={ROW: pl.Int64, "category": pl.String}, orient="row")
    ids = pl.col(ROW).cast(pl.String)
    columns = {"item_id": ids, "category": pl.col("category").fill_null(DEFAULT_CATEGORY), "image": ids}
    return table.select(**columns, **{ROW: pl.col(ROW)})
