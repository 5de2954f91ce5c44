"""Recommendations for many users at once, into one file: in blocks, continued after an interruption.

What is found is kept in parts beside the output, as rows and scores. A repeated command goes on after the last whole
part. The output is written from the parts at the end, whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from tfdvbpr.arrays import read_npz
from tfdvbpr.data.interactions import Split
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.data.preparation.tables import read_table_file
from tfdvbpr.errors import ConfigError, DiskFullError, OutputExistsError
from tfdvbpr.files import IfExists, is_disk_full, only_writer, sha256, whole_file, write_text
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.models.recommenders.top_k import NO_ITEM, TopItems
from tfdvbpr.run.folder import FACTORS_NAME, MANIFEST_NAME
from tfdvbpr.run.recommender_run import Run
from tfdvbpr.text import csv_cell, one_line

MOST_K = 10_000
_PART_ENTRIES = 1 << 20
_IDENTITY = "recommend.json"

Rows = npt.NDArray[np.int32]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BulkResult:
    """What `recommend_all` did.

    Attributes:
        num_users: users in the output.
        num_empty: users for whom no item was left.
        num_items: items that could be in a list.
        num_resumed: users that an interrupted call had finished.
        left_out: the list of ids in files that the run does not know, with reasons; None where there are none.
    """

    num_users: int
    num_empty: int
    num_items: int
    num_resumed: int
    left_out: Path | None = None


def recommend_all(
    run: Run,
    output: Path,
    *,
    users: Sequence[str] | Path | None = None,
    k: int = 50,
    where: str | None = None,
    category: str | None = None,
    exclude_items: Sequence[str] | Path = (),
    exclude_seen: bool = True,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> BulkResult:
    """Writes the best k items of many users; arguments and errors are those of `tfdvbpr.recommend`."""
    write = _writer(output)
    if not 1 <= k <= MOST_K:
        raise ConfigError(f"`k` must be in 1..{MOST_K:,}. Received {k:,}.")
    quarantine = Quarantine()
    if isinstance(users, Path):
        users = _ids_of_file(users, "user_id", run.user_ids, quarantine)
    if isinstance(exclude_items, Path):
        exclude_items = _ids_of_file(exclude_items, "item_id", run.items.item_ids, quarantine)
    rows = np.arange(run.manifest.num_users, dtype=np.int32) if users is None else np.unique(run.user_indices(users))
    items = np.flatnonzero(run.allowed_items(where=where, category=category, exclude_items=exclude_items))
    about = {
        "run": [sha256(run.path / name) for name in (MANIFEST_NAME, FACTORS_NAME)],
        "users": hashlib.sha256(rows.tobytes()).hexdigest(),
        "items": hashlib.sha256(items.astype(np.int32).tobytes()).hexdigest(),
        "k": k,
        "exclude_seen": exclude_seen,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(output):
        if output.is_dir() or (output.exists() and if_exists == "error"):
            raise OutputExistsError(
                f"`output` must be a new file. {output} is there already. Give another path, or pass --if-exists "
                "overwrite to replace a file."
            )
        try:
            parts = _Parts(output.parent / f".{output.name}.parts", json.dumps(about, sort_keys=True), rows, k)
            excluded = run.interactions.matrix(*Split) if exclude_seen else None
            best = TopItems.of(run.factors, items.astype(np.int32), excluded, k=k)
            resumed = parts.fill(best, progress)
            with whole_file(output) as scratch:
                num_empty = write(scratch, run, parts)
        except Exception as error:
            if is_disk_full(error):
                raise DiskFullError(
                    f"There must be room to write at {output.parent}. The disk is full ({one_line(str(error))[:200]}). "
                    "Make room and repeat the command: it goes on where it stopped."
                ) from error
            raise
        left_out = output.with_name(f"{output.name}.left_out.csv") if len(quarantine) else None
        if left_out is not None:
            quarantine.write(left_out)
        parts.remove()
    return BulkResult(len(rows), num_empty, len(items), resumed, left_out)


def _ids_of_file(path: Path, column: str, known: Sequence[str], quarantine: Quarantine) -> list[str]:
    """The ids in a column of a .csv or .parquet file, each once; those that are not known go to the quarantine."""
    columns = Columns((column,), others=False)
    table = read_table_file(path, required=(column,), quarantine=quarantine, columns=columns)
    table = table.unique(column, keep="first", maintain_order=True)
    is_known = table[column].is_in(pl.Series(known).implode())
    for row in table.filter(~is_known).iter_rows(named=True):
        quarantine.add(path.name, row[ROW], row[column], kind=f"unknown {column}")
    return table.filter(is_known)[column].to_list()


class _Parts:
    """The parts of an output: `part-000012.npz` has the rows of items and the scores of the 13th block of users."""

    def __init__(self, folder: Path, identity: str, users: Rows, k: int) -> None:
        self._folder, self._users = folder, users
        self._size = max(1, _PART_ENTRIES // k)
        marker = folder / _IDENTITY
        if folder.is_dir() and (not marker.is_file() or marker.read_text(encoding="utf-8") != identity):
            _log.info("An interrupted call with other arguments is forgotten: %s", folder)
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        write_text(marker, identity)

    def __iter__(self) -> Iterator[tuple[Rows, Rows, Array]]:
        """Users int32 [B], rows of items int32 [B, k] and scores float32 [B, k] of each part."""
        for number, users in self._blocks():
            arrays = read_npz(self._path(number))
            yield users, arrays["items"], arrays["scores"]

    def _blocks(self) -> Iterator[tuple[int, Rows]]:
        starts = range(0, len(self._users), self._size)
        return ((number, self._users[start : start + self._size]) for number, start in enumerate(starts))

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.npz"

    def fill(self, best: TopItems, progress: Callable[[int, int], None] | None) -> int:
        """Computes the parts that are missing; returns how many users those that were there have."""
        done = resumed = 0
        # One block at a time a core: NumPy lets go of the interpreter while it multiplies and compares.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for number, users in self._blocks():
                if self._path(number).is_file():
                    resumed += len(users)
                else:
                    size = best.block_users
                    blocks = pool.map(best, [users[start : start + size] for start in range(0, len(users), size)])
                    items, scores = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
                    with whole_file(self._path(number)) as scratch:
                        np.savez(scratch, items=items, scores=scores)
                done += len(users)
                if progress is not None:
                    progress(done, len(self._users))
        return resumed

    def remove(self) -> None:
        """Deletes the parts, once the output is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _flat(run: Run, parts: _Parts, *, escape: bool) -> Iterator[tuple[pl.DataFrame, int]]:
    """Columns user_id, rank (from 1), item_id and score, a row an item, part by part; and users without an item."""
    names = [run.user_ids, run.items.item_ids]
    user_ids, item_ids = (pl.Series([csv_cell(name) for name in ids] if escape else ids) for ids in names)
    for users, items, scores in parts:
        present = items != NO_ITEM
        counts = present.sum(axis=1)
        ranks = np.broadcast_to(np.arange(1, items.shape[1] + 1, dtype=np.int32), items.shape)[present]
        columns = {
            "user_id": user_ids.gather(np.repeat(users, counts)),
            "rank": pl.Series(ranks),
            "item_id": item_ids.gather(items[present]),
            "score": pl.Series(scores[present]),
        }
        yield pl.DataFrame(columns), int(np.count_nonzero(counts == 0))


def _write_parquet(path: Path, run: Run, parts: _Parts) -> int:
    writer: Any = None
    empty = 0
    try:
        for table, number in _flat(run, parts, escape=False):
            rows = table.to_arrow()
            writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd")
            writer.write_table(rows)
            empty += number
    finally:
        if writer is not None:
            writer.close()
    return empty


def _write_csv(path: Path, run: Run, parts: _Parts) -> int:
    empty, header = 0, True
    with path.open("wb") as file:
        for table, number in _flat(run, parts, escape=True):
            table.write_csv(file, include_header=header)
            empty, header = empty + number, False
    return empty


def _write_jsonl(path: Path, run: Run, parts: _Parts) -> int:
    """An object a user: user_id, item_ids and scores, best first."""
    empty = 0
    user_ids, item_ids = pl.Series(run.user_ids), pl.Series(run.items.item_ids)
    with path.open("wb") as file:
        for users, items, scores in parts:
            present = items != NO_ITEM
            counts = present.sum(axis=1)
            flat = pl.DataFrame(
                {
                    "user": np.repeat(users, counts),
                    "item_ids": item_ids.gather(items[present]),
                    "scores": scores[present],
                }
            )
            lists = flat.group_by("user", maintain_order=True).agg("item_ids", "scores")
            table = pl.DataFrame({"user": users, "user_id": user_ids.gather(users)})
            none = [pl.col(name).fill_null(pl.lit([], pl.List(kind))) for name, kind in _LISTS.items()]
            table = table.join(lists, on="user", how="left", maintain_order="left").drop("user").with_columns(none)
            table.write_ndjson(file)
            empty += int(np.count_nonzero(counts == 0))
    return empty


_LISTS = {"item_ids": pl.String, "scores": pl.Float32}
_WRITERS: Mapping[str, Callable[[Path, Run, _Parts], int]] = MappingProxyType(
    {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
)


def _writer(output: Path) -> Callable[[Path, Run, _Parts], int]:
    if output.suffix not in _WRITERS:
        raise ConfigError(
            f"`output` must end in {', '.join(_WRITERS)}. Received {output.name}. The ending decides the format."
        )
    return _WRITERS[output.suffix]
