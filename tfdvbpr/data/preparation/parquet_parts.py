"""The parquet files that make up a table: one, those of a folder, or those that a Delta table's log names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tfdvbpr.errors import SourceError

_MOST_FILES = 10_000
_DELTA_LOG = "_delta_log"
_TABLE_FORMATS = {"metadata": "an Iceberg table", ".hoodie": "a Hudi table"}
# Of a Delta table, beyond version 1 of its protocol: files hold all rows and the columns' own names nonetheless.
_DELTA_FEATURES = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}


@dataclass(frozen=True)
class Part:
    """A file of a table, and the columns that have one value in all of its rows and are not in the file."""

    path: Path
    values: dict[str, str | None]


def find_parts(path: Path) -> list[Part]:
    """A file itself; of a Delta table the files of its newest version; else the files below a folder, by name.

    Folders of the form NAME=VALUE give all that is below them a column (Hive). A Delta table's log is read without a
    bound of memory and time, which `tfdvbpr.child` has.

    Raises:
        SourceError: if there are none, too many, they are those of another table format, or one is outside the folder.
    """
    if path.is_file():
        return [Part(path, {})]
    for name, kind in _TABLE_FORMATS.items():
        if (path / name).is_dir():
            raise SourceError(
                f"{path.name} must be a folder of parquet files alone. It is {kind}, whose files hold deleted rows "
                "too. Export it as parquet or CSV."
            )
    parts = _delta_parts(path) if (path / _DELTA_LOG).is_dir() else _hive_parts(path)
    if not 0 < len(parts) <= _MOST_FILES:
        raise SourceError(
            f"{path.name} must hold 1 to {_MOST_FILES:,} parquet files. Received {len(parts):,}. Join them into larger "
            "ones."
        )
    _check_files(path, (part.path for part in parts))
    return parts


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def _hive_parts(path: Path) -> list[Part]:
    names = [file.relative_to(path) for file in sorted(path.rglob("*.parquet"))]
    shown = [name for name in names if not any(part.startswith(("_", ".")) for part in name.parts)]
    return [Part(path / name, _hive_values(name.parent.parts)) for name in shown]


def _hive_values(folders: Iterable[str]) -> dict[str, str | None]:
    pairs = [folder.partition("=") for folder in folders]
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, sign, value in pairs if sign
    }


def _delta_parts(path: Path) -> list[Part]:
    """In the order of their names; the log has the partitions' values, and the names of the files percent-encoded."""
    try:
        import pyarrow as pa
        from deltalake import DeltaTable
    except ImportError:
        raise SourceError(
            f"{path.name} must be readable. It is a Delta table, whose files hold deleted rows too. Run "
            "pip install 'tfdvbpr[delta]', or export it as parquet or CSV."
        ) from None
    try:
        table = DeltaTable(path)
        _check_delta(path, table)
        rows: list[dict[str, Any]] = pa.table(table.get_add_actions()).to_pylist()
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # a log from outside can fail in any way
        raise SourceError(f"{path.name} must be a Delta table. Its log cannot be read: {error}.") from None
    found = [
        Part(
            path / unquote(row["path"]), {name: _written(value) for name, value in (row.get("partition") or {}).items()}
        )
        for row in rows
    ]
    return sorted(found, key=lambda part: part.path)


def _written(value: Any) -> str | None:
    """A value of a partition as the other columns have theirs: 5, true, 2024-02-01."""
    return value if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _check_delta(path: Path, table: Any) -> None:
    """Refuses tables whose files hold deleted rows or other names of columns."""
    features = set(table.protocol().reader_features or ()) - _DELTA_FEATURES
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") == "none":
        features.discard("columnMapping")
    else:
        features.add("columnMapping")
    if "deletionVectors" in features and not table.deletion_vectors().read_all().num_rows:
        features.discard("deletionVectors")
    if features:
        raise SourceError(
            f"{path.name} must be a Delta table without {' and '.join(sorted(features))}. Export it as parquet or CSV."
        )


def _check_files(path: Path, files: Iterable[Path]) -> None:
    """Refuses files that are not there, or lie outside the folder."""
    root = path.resolve()
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise SourceError(f"{path.name} must hold its files itself. {file.name} lies outside. Copy it.")
        if not file.is_file():
            raise SourceError(f"{path.name} must be whole. Its file {file.name} is missing. Fetch the folder again.")
