"""The .npy files of the DVBPR paper's authors: AmazonFashion, AmazonWomen, AmazonMen and Tradesy.

Each is a pickled row `[user_train, user_validation, user_test, Item, usernum, itemnum]`, written by Python 2. Users and
items are numbered from 0; item 0 is an item like any other. `user_train[u]` is a list of dicts with `productid`,
`Item[i]` a dict with the JPEG in `imgs` and, in AmazonFashion alone, a one-hot category of six in `c`. The authors name
the categories nowhere, so that they are called category-0 to category-5 here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as brief  # a pickle of a few bytes can nest lists that take gigabytes to write out
from typing import Any, ClassVar

import polars as pl

from tfdvbpr.data.preparation.source import DEFAULT_CATEGORY, Importer, Quarantine, Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import SourceError
from tfdvbpr.pickles import PickledArray, read_object_array

_LAYOUT = "[user_train, user_validation, user_test, Item, usernum, itemnum]"
_PARTS = ("train", "validation", "test")


class DvbprNpyImporter(Importer):
    """Reads a file of the DVBPR paper's authors."""

    summary: ClassVar[str] = "an .npy file of the paper's authors, or a folder with one."

    def read(self, source: Path) -> Source:
        """Reads one of the authors' files; the JPEG files are kept in memory.

        The authors' split is kept in the column `split`. Ids are their numbers. In the quarantine the row of an action
        is its position in its user's list, from 1; the row of an item is its number.

        Args:
            source: the .npy file, or a folder that holds no other.

        Raises:
            SourceError: if there is no such file, it is damaged or of another layout, or its pickle needs anything but
                numpy arrays and plain containers.
        """
        path = _npy_file(Path(source))
        entries = read_object_array(path)
        if len(entries) != 6:
            raise SourceError(
                f"{path.name} must hold {_LAYOUT}. Received {len(entries)} entries. Give the authors' file."
            )
        quarantine = Quarantine()
        interactions = _interactions(path.name, entries[:3], entries[4], quarantine)
        items, jpegs = _items(path.name, entries[3], entries[5], quarantine)

        def image_bytes(image: str) -> bytes:
            jpeg = jpegs.get(image)
            if not jpeg:
                raise OSError("the item has no bytes in `imgs`")
            return jpeg

        return Source(path.stem, items, interactions, image_bytes, quarantine, f"{path.name}: Item", path.name)


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


def _interactions(name: str, parts: list[Any], num_users: Any, quarantine: Quarantine) -> pl.DataFrame:
    """user_id, item_id, split and the running number of every action that names an item."""
    users: list[int] = []
    items: list[int] = []
    splits: list[str] = []
    for split, part in zip(_PARTS, parts, strict=True):
        for user, actions in _numbered(part, f"{name}: user_{split}", num_users if split == "train" else None):
            where = f"{name}: user_{split}[{user}]"
            listed = _listed(actions)
            if listed is None or not _is_number(user):
                quarantine.add(where, None, brief(actions), kind="malformed row", detail="no list of actions of a user")
                continue
            for place, action in enumerate(listed, start=1):
                item = _field(action, "productid") if isinstance(action, dict) else action
                if not _is_number(item):
                    quarantine.add(where, place, brief(action), kind="malformed row", detail="no number in `productid`")
                    continue
                users.append(user)
                items.append(item)
                splits.append(split)
    return pl.DataFrame(
        {
            "user_id": pl.Series(users, dtype=pl.Int64).cast(pl.String),
            "item_id": pl.Series(items, dtype=pl.Int64).cast(pl.String),
            "split": pl.Series(splits, dtype=pl.String),
            ROW: pl.Series(range(1, len(users) + 1), dtype=pl.Int64),
        }
    )


def _items(name: str, items: Any, num_items: Any, quarantine: Quarantine) -> tuple[pl.DataFrame, dict[str, bytes]]:
    """The table of items, and the JPEG files by item id."""
    numbers: list[int] = []
    categories: list[str] = []
    jpegs: dict[str, bytes] = {}
    for number, item in _numbered(items, f"{name}: Item", num_items):
        if not _is_number(number) or not isinstance(item, dict):
            quarantine.add(f"{name}: Item", None, brief(number), kind="malformed row", detail="no dict of an item")
            continue
        jpeg, one_hot = _field(item, "imgs"), _field(item, "c")
        if isinstance(jpeg, bytes | bytearray):
            jpegs[str(number)] = bytes(jpeg)  # no copy of what is bytes already
        category = DEFAULT_CATEGORY if one_hot is None else _category(one_hot)
        if category is None:
            detail = "`c` is not one-hot; taken as having no category"
            quarantine.add(f"{name}: Item", number, brief(_plain(one_hot)), kind="malformed category", detail=detail)
        numbers.append(number)
        categories.append(category or DEFAULT_CATEGORY)
    ids = pl.Series(numbers, dtype=pl.Int64).cast(pl.String)
    table = pl.DataFrame({"item_id": ids, "category": pl.Series(categories, dtype=pl.String), "image": ids})
    return table.with_columns(pl.Series(ROW, numbers, dtype=pl.Int64)), jpegs


def _numbered(part: Any, where: str, expected: Any) -> Iterator[tuple[Any, Any]]:
    """(number, entry) of a dict or a list, with None for the numbers below `expected` that it lacks."""
    if isinstance(part, dict):
        yield from part.items()
        if _is_number(expected):
            yield from ((number, None) for number in range(expected) if number not in part)
        return
    listed = _listed(part)
    if listed is None:
        raise SourceError(
            f"{where} must be a dict or a list. Received {type(part).__name__}. The file must hold {_LAYOUT}."
        )
    yield from enumerate(listed)


def _category(one_hot: Any) -> str | None:
    """category-N where exactly entry N of a one-hot vector is 1, else None."""
    values = _listed(one_hot)
    if values is None or not all(isinstance(value, int | float) for value in values):
        return None
    hot = [number for number, value in enumerate(values) if value != 0]
    return f"category-{hot[0]}" if len(hot) == 1 and values[hot[0]] == 1 else None


def _field(entry: dict[Any, Any], name: str) -> Any:
    """By its name as Python 3 or Python 2 wrote it; 0 is a value."""
    return entry[name] if name in entry else entry.get(name.encode())


def _listed(value: Any) -> list[Any] | tuple[Any, ...] | None:
    plain = _plain(value)
    return plain if isinstance(plain, list | tuple) else None


def _plain(value: Any) -> Any:
    if not isinstance(value, PickledArray):
        return value
    return value.values if isinstance(value.values, list) else value.values.ravel().tolist()


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
