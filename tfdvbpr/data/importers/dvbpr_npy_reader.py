"""The child's half of the `dvbpr-npy` importer: from the authors' pickle to numbers, text and JPEG files one by one.

It is run by `tfdvbpr.child`, imports little, and builds nothing that grows faster than the file: actions, entries of
the quarantine and numbers that only a count declares are bounded by the bytes that they would take in a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as brief  # a pickle of a few bytes can nest lists that take gigabytes to write out
from typing import Any, BinaryIO

from tfdvbpr.errors import SourceError
from tfdvbpr.pickles import PickledArray, read_object_array

_LAYOUT = "[user_train, user_validation, user_test, Item, usernum, itemnum]"
_PARTS = ("train", "validation", "test")
_MOST_CATEGORIES = 1000
_MISSING = 1000


class _Reading:
    """What is read so far, in the form that `read` returns."""

    def __init__(self, path: Path, images: BinaryIO) -> None:
        self.name, self._size, self._images = path.name, path.stat().st_size, images
        self.actions: list[tuple[int, int, str]] = []
        self.items: list[tuple[int, str | None]] = []
        self.jpegs: list[tuple[int, int]] = []
        self.quarantine: list[tuple[str, int | None, str, str, str]] = []
        self._steps = 0
        self._written: dict[int, tuple[int, int]] = {}
        self._end = 0

    def count(self, steps: int = 1) -> None:
        """Counts what takes at least a byte of a file that was written honestly, however often it is referred to."""
        self._steps += steps
        if self._steps > self._size:
            raise SourceError(
                f"{self.name} must hold no more than its {self._size:,} bytes can. It refers to the same lists over "
                "and over. Do not trust the file."
            )

    def add_quarantine(self, where: str, row: int | None, value: Any, kind: str, detail: str) -> None:
        self.quarantine.append((where, row, brief(value)[:200], kind, detail))

    def add_jpeg(self, jpeg: Any) -> None:
        """Appends a JPEG's bytes once, however many items have it."""
        if not isinstance(jpeg, bytes | bytearray):
            self.jpegs.append((0, 0))
            return
        if id(jpeg) not in self._written:
            self._images.write(jpeg)
            self._written[id(jpeg)] = (self._end, len(jpeg))
            self._end += len(jpeg)
        self.jpegs.append(self._written[id(jpeg)])


def read(path: Path, images: BinaryIO) -> dict[str, Any]:
    """Reads one of the authors' files; JPEG files are appended to `images`.

    Returns:
        `actions`: [user, item, split]; `items`: [item, category or None]; `jpegs`: [start, length] of each item in
        `images`, [0, 0] without one; `quarantine`: [where, row, value, kind, detail].

    Raises:
        SourceError: if it is damaged, of another layout, or its pickle needs anything but numpy arrays and plain
            containers.
    """
    entries = read_object_array(path)
    if len(entries) != 6:
        raise SourceError(f"{path.name} must hold {_LAYOUT}. Received {len(entries)} entries. Give the authors' file.")
    reading = _Reading(path, images)
    _read_actions(reading, entries[:3], entries[4])
    _read_items(reading, entries[3], entries[5])
    names = ("actions", "items", "jpegs", "quarantine")
    return {name: getattr(reading, name) for name in names}


def _read_actions(reading: _Reading, parts: list[Any], num_users: Any) -> None:
    for split, part in zip(_PARTS, parts, strict=True):
        for user, actions in _numbered(reading, part, f"user_{split}", num_users if split == "train" else None):
            where = f"{reading.name}: user_{split}[{user[:40] if isinstance(user, str) else brief(user)}]"
            listed = _listed(actions)
            if listed is None or not _is_number(user):
                reading.add_quarantine(where, None, actions, "malformed row", "no list of actions of a user")
                continue
            reading.count(len(listed))
            for place, action in enumerate(listed, start=1):
                item = _field(action, "productid") if isinstance(action, dict) else action
                if _is_number(item):
                    reading.actions.append((user, item, split))
                else:
                    reading.add_quarantine(where, place, action, "malformed row", "no number in `productid`")


def _read_items(reading: _Reading, items: Any, num_items: Any) -> None:
    where = f"{reading.name}: Item"
    for number, item in _numbered(reading, items, "Item", num_items):
        if not _is_number(number) or not isinstance(item, dict):
            reading.add_quarantine(where, None, number, "malformed row", "no dict of an item")
            continue
        one_hot = _field(item, "c")
        category = None if one_hot is None else _category(one_hot)
        if one_hot is not None and category is None:
            detail = "`c` is not one-hot; taken as having no category"
            reading.add_quarantine(where, number, _shown(one_hot), "malformed category", detail)
        reading.items.append((number, category))
        reading.add_jpeg(_field(item, "imgs"))


def _numbered(reading: _Reading, part: Any, name: str, declared: Any) -> Iterator[tuple[Any, Any]]:
    """(number, entry) of a dict or a list, with None for the numbers below the declared count that it lacks."""
    if isinstance(part, dict):
        reading.count(len(part))
        yield from part.items()
        if not _is_number(declared):
            return
        if declared > 2 * len(part) + _MISSING:
            raise SourceError(
                f"{reading.name}: {name} must hold the users or items that the file counts. It holds {len(part):,}, "
                f"and the count is {declared:,}. Give the authors' file."
            )
        yield from ((number, None) for number in range(declared) if number not in part)
        return
    listed = _listed(part)
    if listed is None:
        raise SourceError(
            f"{reading.name}: {name} must be a dict or a list. Received {type(part).__name__}. The file must hold "
            f"{_LAYOUT}."
        )
    reading.count(len(listed))
    yield from enumerate(listed)


def _category(one_hot: Any) -> str | None:
    """category-N where exactly entry N of a one-hot vector is 1, else None."""
    values = _listed(one_hot) if _length(one_hot) <= _MOST_CATEGORIES else None
    if values is None or not all(isinstance(value, int | float) for value in values):
        return None
    hot = [number for number, value in enumerate(values) if value != 0]
    return f"category-{hot[0]}" if len(hot) == 1 and values[hot[0]] == 1 else None


def _field(entry: dict[Any, Any], name: str) -> Any:
    """By its name as Python 3 or Python 2 wrote it; 0 is a value."""
    return entry[name] if name in entry else entry.get(name.encode())


def _length(value: Any) -> int:
    values = value.values if isinstance(value, PickledArray) else value
    if isinstance(values, list | tuple):
        return len(values)
    return getattr(values, "size", 0)


def _listed(value: Any) -> list[Any] | tuple[Any, ...] | None:
    if isinstance(value, PickledArray):
        return value.values if isinstance(value.values, list) else value.values.ravel().tolist()
    return value if isinstance(value, list | tuple) else None


def _shown(value: Any) -> Any:
    """For the quarantine: an array as its list, unless that is long."""
    return _listed(value) if isinstance(value, PickledArray) and _length(value) <= _MOST_CATEGORIES else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
