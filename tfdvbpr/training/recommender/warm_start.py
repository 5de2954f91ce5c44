"""Retraining: a training that begins with the weights of a run on an earlier dataset, carried over by id.

Old and new dataset share most of their users and items. Weights without a row a user or an item are taken as they are,
rows of known users and items by their ids. New users are folded in from their training items that the run knows. A new
item has its image or features; its other rows keep their initial values, and a bias follows its popularity as those of
known items do.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.config.base import given_fields, resolve_config
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.closed_form import centred
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender
from tfdvbpr.run import Run
from tfdvbpr.run.new_users import assign_users
from tfdvbpr.training.recommender.data import TrainingData

Rows = npt.NDArray[np.int64]

_EPOCHS_SHARE, _STEP_SIZE_SHARE = 0.06, 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdMap:
    """Where the rows of an old table are in a new one.

    Attributes:
        old: int64 [N], rows of the old table whose ids the new one has.
        new: int64 [N], the same ids' rows in the new table, ascending.
        added: int64 [M], rows of the new table whose ids are new, ascending.
        num_gone: ids that the new table does not have.
    """

    old: Rows
    new: Rows
    added: Rows
    num_gone: int

    @classmethod
    def of(cls, old_ids: Sequence[str], new_ids: Sequence[str]) -> IdMap:
        """By ids, each once in its table.

        Example:
            >>> IdMap.of(["a", "b"], ["c", "b"]).new.tolist()
            [1]
        """
        places = {name: row for row, name in enumerate(old_ids)}
        found = np.array([places.get(name, -1) for name in new_ids], np.int64)
        new = np.flatnonzero(found >= 0)
        return cls(found[new], new, np.flatnonzero(found < 0), len(old_ids) - len(new))

    def __str__(self) -> str:
        return f"{len(self.new):,} carried over, {len(self.added):,} new, {self.num_gone:,} gone"


def retraining_config(run: Run, *, file: Path | None = None, overrides: Sequence[str] = ()) -> RecommenderConfig:
    """The configuration of a training that begins with a run's weights: the run's own, with values laid over it.

    Raises:
        ConfigError: as `resolve_config`, or if the run's model has no weights that could be carried over.
    """
    config = run.config
    if not run.model_class.has_weights:
        raise ConfigError(
            f"--from must name a run of a model that is trained in steps. {run.path} is a {config.model} run, which is "
            f"computed anew in any case. Leave --from out: tfdvbpr train DATASET --model {config.model}."
        )
    values = {**config.model_dump(mode="json"), **given_fields(file, overrides), "start_from": str(run.path.resolve())}
    if values["model"] != config.model:
        raise ConfigError(
            f"`model` must be that of the run to start from, {config.model}. Received {values['model']}. "
            "Leave --from out to train another model."
        )
    return resolve_config(RecommenderConfig, defaults=values)


def effective_config(config: RecommenderConfig) -> RecommenderConfig:
    """What a training that begins with carried weights is made with: fewer epochs, smaller steps, one validation.

    It has 0.06 of the configuration's epochs, rounded up, and half of both step sizes. A configuration without
    `start_from` stays as it is.
    """
    if not config.start_from:
        return config
    epochs = max(1, math.ceil(config.epochs * _EPOCHS_SHARE))
    changed = {
        "epochs": epochs,
        "learning_rate": config.learning_rate * _STEP_SIZE_SHARE,
        "user_learning_rate": config.user_learning_rate * _STEP_SIZE_SHARE,
        "evaluate_every": min(epochs, config.evaluate_every),
    }
    return config.model_copy(update=changed)


def carry_over(
    run: Run, model: PairwiseRecommender, data: TrainingData, *, user_ids: Sequence[str], item_ids: Sequence[str]
) -> tuple[IdMap, IdMap]:
    """Gives a new model the weights of a run, by id; returns how users and items were matched, and logs it.

    Args:
        model: built for the new dataset, with its initial weights.
        user_ids: of the new dataset, row by row.
        item_ids: likewise.

    Raises:
        ConfigError: if the run is of another architecture.
    """
    users, items = IdMap.of(run.user_ids, user_ids), IdMap.of(run.items.item_ids, item_ids)
    old = run.recommender
    if data.features is not None and run.factors.feature_mean is not None:
        # What the carried weights were trained on stands around the old catalogue's mean.
        model.feature_mean = run.factors.feature_mean
        model.features.assign(centred(data.features, run.factors.feature_mean))
    of_users = _ids([model.user_embeddings, *model.user_tables])
    of_items = _ids(model.item_tables)
    kept = _ids([model.features]) if data.features is not None else set()
    for before, after in zip(old.variables, model.variables, strict=True):
        if id(after) in kept:
            continue
        match = users if id(after) in of_users else items if id(after) in of_items else None
        trailing = slice(0 if match is None else 1, None)
        if before.shape[trailing] != after.shape[trailing]:
            raise ConfigError(
                f"Weights can be carried over to the same architecture alone. {run.path} has {before.path} of "
                f"{tuple(before.shape)} where {tuple(after.shape)} are needed. Set the run's own sizes, or leave out "
                "--from."
            )
        values = before.numpy()
        if match is not None:
            values, known = after.numpy(), values
            values[match.new] = known[match.old]
        after.assign(values)
    _fold_in_users(run, model, data, users, items)
    _biases_by_popularity(model, data, items)
    _log.info("From %s: users: %s; items: %s.", run.path, users, items)
    return users, items


def _ids(variables: Sequence[Any]) -> set[int]:
    return {id(variable) for variable in variables}


def _fold_in_users(run: Run, model: PairwiseRecommender, data: TrainingData, users: IdMap, items: IdMap) -> None:
    """New users' rows by fold-in from their training items that the run knows; the mean user's without any."""
    if not len(users.added):
        return
    old_row = np.full(model.num_items, -1, np.int64)
    old_row[items.new] = items.old
    matrix = data.interactions.training_matrix
    liked = [old_row[matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]] for user in users.added]
    folded = run.folding([rows[rows >= 0].astype(np.int32) for rows in liked])
    assign_users(model, users.added, folded)


def _biases_by_popularity(model: PairwiseRecommender, data: TrainingData, items: IdMap) -> None:
    """Biases of new items with training actions: on the line through ln(1 + n) of the known ones."""
    counts = data.interactions.training_counts
    known, added = items.new[counts[items.new] > 0], items.added[counts[items.added] > 0]
    if len(known) < 2 or not len(added):
        return
    for table in model.item_tables:
        if len(table.shape) > 1:
            continue
        values = table.numpy()
        inputs = np.stack([np.ones(len(known)), np.log1p(counts[known])], axis=1)
        line = np.linalg.lstsq(inputs, values[known].astype(np.float64), rcond=None)[0]
        values[added] = line[0] + line[1] * np.log1p(counts[added])
        table.assign(values)
