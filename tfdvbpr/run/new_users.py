"""New users in a trained run: folded in from their actions; nothing is trained.

The weights and everything of the old users stay bit for bit. The new users' actions are kept as withheld ones: they are
left out of recommendations as seen, and change nothing that was learned, popularity among it.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.prepare import file_records
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.data.preparation.tables import read_table_file
from tfdvbpr.errors import SourceError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.item_weights import ItemWeights
from tfdvbpr.models.weights import save_weights
from tfdvbpr.run import folder as files
from tfdvbpr.run.recommender_run import Run

DATASET_NAME = "dataset"
LEFT_OUT_NAME = "left_out.csv"


def update_users(
    run: Run,
    interactions: Path,
    output: Path,
    *,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
) -> Run:
    """Writes a run with more users, and within it the dataset with their actions; whole or not at all.

    Arguments and errors are those of `tfdvbpr.update_users`.
    """
    check_output(output, if_exists=if_exists)
    run.check_is_no_ensemble("Add the users to each member, and combine them again")
    quarantine = Quarantine()
    user_ids, liked = _new_users(run, interactions, quarantine)
    old = run.open_dataset(dataset)
    with whole_directory(output, if_exists=if_exists) as folder:
        actions = _with_actions(run.interactions, liked)
        users = pl.DataFrame({"user_id": [*run.user_ids, *user_ids]})
        _write_dataset(old, users, actions, folder / DATASET_NAME)
        larger = PreparedDataset.open(folder / DATASET_NAME)
        changed = {
            "library_version": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "dataset_path": str((output / DATASET_NAME).resolve()),
            "dataset_fingerprint": larger.manifest.fingerprint,
            "num_users": users.height,
        }
        manifest = run.manifest.model_copy(update=changed)
        (folder / files.MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
        for name in (files.CONFIG_NAME, files.HISTORY_NAME, files.ITEMS_NAME):
            shutil.copyfile(run.path / name, folder / name)
        users.write_parquet(folder / files.USERS_NAME)
        actions.write(folder / files.INTERACTIONS_NAME)
        folded = run.folding(liked)
        _with_users(run, folded, liked).write(folder / files.FACTORS_NAME)
        if run.model_class.has_weights:
            save_weights(_larger_model(run, manifest, folded), folder / files.WEIGHTS_NAME)
        quarantine.write(folder / LEFT_OUT_NAME)
    return Run.open(output)


def assign_users(model: Any, rows: npt.NDArray[np.integer[Any]], embeddings: Array) -> None:
    """Gives rows of a model's user tables folded-in embeddings, float32 [N, D], whose columns are those of the tables.

    A model whose tables do not make up an embedding keeps what it has in these rows.
    """
    tables = [model.user_embeddings, *(table for table in model.user_tables if table is not model.user_embeddings)]
    widths = [table.shape[1] for table in tables]
    if sum(widths) != embeddings.shape[1]:
        return
    for table, part in zip(tables, np.split(embeddings, np.cumsum(widths)[:-1], axis=1), strict=True):
        values = table.numpy()
        values[rows] = part
        table.assign(values)


def _new_users(run: Run, path: Path, quarantine: Quarantine) -> tuple[list[str], list[npt.NDArray[np.int32]]]:
    """Ids of users whom the run does not know, and the rows of their items; the rest goes to the quarantine."""
    required = ("user_id", "item_id")
    table = read_table_file(path, required=required, quarantine=quarantine, columns=Columns(required, others=False))
    known_user = pl.col("user_id").is_in(pl.Series(run.user_ids).implode())
    unknown_item = ~pl.col("item_id").is_in(pl.Series(run.items.item_ids).implode())
    kind = (
        pl.when(known_user)
        .then(pl.lit("user id already in the run"))
        .when(unknown_item)
        .then(pl.lit("unknown item id"))
    )
    table = table.with_columns(kind.alias("kind"))
    for row in table.filter(pl.col("kind").is_not_null()).iter_rows(named=True):
        quarantine.add(path.name, row[ROW], f"{row['user_id']},{row['item_id']}", kind=row["kind"])
    table = table.filter(pl.col("kind").is_null())
    if table.height == 0:
        raise SourceError(
            f"INTERACTIONS must hold at least one action of a new user. Left out: {quarantine.summary()}."
        )
    places = pl.DataFrame({"item_id": run.items.item_ids}).with_row_index("item")
    lists = (
        table.join(places, on="item_id", how="left", maintain_order="left")
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("item").unique().sort().cast(pl.Int32))
    )
    return lists["user_id"].to_list(), [rows.to_numpy() for rows in lists["item"]]


def _with_actions(old: Interactions, liked: list[npt.NDArray[np.int32]]) -> Interactions:
    counts = [len(rows) for rows in liked]
    users = np.repeat(np.arange(old.num_users, old.num_users + len(liked), dtype=np.int32), counts)
    splits = np.full(len(users), Split.WITHHELD, np.uint8)
    times = None if old.timestamps is None else np.concatenate([old.timestamps, np.full(len(users), np.nan)])
    return Interactions(
        np.concatenate([old.user_ids, users]),
        np.concatenate([old.item_ids, *liked]),
        np.concatenate([old.splits, splits]),
        old.num_users + len(liked),
        old.num_items,
        times,
    )


def _write_dataset(old: PreparedDataset, users: pl.DataFrame, actions: Interactions, folder: Path) -> None:
    """The dataset with more users; images and items are the same files on disk where the disk can do that."""
    from tfdvbpr.data import dataset as names

    folder.mkdir()
    for name in old.manifest.files:
        if name not in (names.USERS_NAME, names.INTERACTIONS_NAME):
            try:
                os.link(old.path / name, folder / name)
            except OSError:
                shutil.copyfile(old.path / name, folder / name)
    users.write_parquet(folder / names.USERS_NAME)
    actions.write(folder / names.INTERACTIONS_NAME)
    records, fingerprint = file_records(folder)
    changed = {
        "num_users": users.height,
        "num_interactions": len(actions),
        "num_withheld": int((actions.splits == Split.WITHHELD).sum()),
        "num_untrained_users": actions.num_untrained_users,
        "fingerprint": fingerprint,
        "files": records,
    }
    manifest = old.manifest.model_copy(update=changed)
    (folder / names.MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")


def _with_users(run: Run, folded: Array, liked: list[npt.NDArray[np.int32]]) -> Factors:
    old = run.factors
    if isinstance(old, ItemWeights):
        ends = np.cumsum([0, *map(len, liked)])
        rows = (np.ones(ends[-1], np.float32), np.concatenate(liked), ends)
        new = sparse.csr_array(rows, shape=(len(liked), old.num_items))
        return ItemWeights(sparse.csr_array(sparse.vstack([old.histories, new])), old.weights)
    users = np.concatenate([old.user_embeddings, folded.astype(np.float32)])
    return Factors(users, old.item_embeddings, old.item_biases, old.feature_mean)


def _larger_model(run: Run, manifest: files.RunManifest, folded: Array) -> Any:
    """The run's model with more users."""
    old, new = run.recommender, run.model_class.for_dataset(run.config, manifest, pretrained=False)
    for before, after in zip(old.variables, new.variables, strict=True):
        values = before.numpy()
        if before.shape != after.shape:
            added = np.zeros((after.shape[0] - before.shape[0], *after.shape[1:]), values.dtype)
            values = np.concatenate([values, added])
        after.assign(values)
    assign_users(new, np.arange(run.manifest.num_users, manifest.num_users), folded)
    return new
