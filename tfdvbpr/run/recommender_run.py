"""`Run`: a trained recommender, opened from its folder for scoring, evaluation, design or export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import Items, PreparedDataset, read_user_ids
from tfdvbpr.data.filters import matching_items
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import RunError, unknown_id
from tfdvbpr.files import reading
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.base import Recommender
from tfdvbpr.models.recommenders.ensemble import Ensemble, ensemble_fold_in
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.item_weights import ItemWeights
from tfdvbpr.models.weights import load_weights, outside_graphs
from tfdvbpr.run.folder import (
    FACTORS_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MEMBERS_NAME,
    METRICS_NAME,
    USERS_NAME,
    WEIGHTS_NAME,
    RunFolder,
    new_manifest,
    write_run_header,
)

if TYPE_CHECKING:
    from tfdvbpr.models.recommenders.fold_in import FoldIn


_AGAIN = "Train again."


class Recommendation(BaseModel):
    """One item of a ranking."""

    model_config = ConfigDict(frozen=True)
    item_id: str
    category: str
    score: float


class Run(RunFolder):
    """A trained recommender, opened for scoring, evaluation, design or export.

    Attributes:
        path: the run folder.
        manifest: what it is and what it was trained on.
    """

    kind = "recommender"

    @cached_property
    def config(self) -> RecommenderConfig:
        """The resolved configuration."""
        return self._read_config(RecommenderConfig)

    @property
    def model_class(self) -> type[Recommender]:
        """The run's entry in RECOMMENDERS, which says what the model can do.

        Raises:
            RunError: if no installed distribution has such a recommender.
        """
        if self.manifest.model not in RECOMMENDERS:
            raise RunError(
                f"{self.path} must be of a known recommender: {', '.join(RECOMMENDERS)}. Received "
                f"{self.manifest.model}. Install the distribution that has it."
            )
        return RECOMMENDERS[self.manifest.model]

    @cached_property
    def items(self) -> Items:
        """The catalogue's rows."""
        path, about = self.path / ITEMS_NAME, self.manifest
        with reading(path, RunError, _AGAIN):
            return Items.read(path, categories=about.categories, num_items=about.num_items)

    @cached_property
    def user_ids(self) -> list[str]:
        """User ids as in the interactions; user n is the n-th."""
        path = self.path / USERS_NAME
        with reading(path, RunError, _AGAIN):
            return read_user_ids(path, num_users=self.manifest.num_users)

    @cached_property
    def _user_index(self) -> dict[str, int]:
        return {user_id: number for number, user_id in enumerate(self.user_ids)}

    @cached_property
    def interactions(self) -> Interactions:
        """Every action, with its part of the split."""
        path, num_users, num_items = self.path / INTERACTIONS_NAME, len(self.user_ids), len(self.items)
        with reading(path, RunError, _AGAIN):
            return Interactions.read(path, num_users=num_users, num_items=num_items)

    @cached_property
    def factors(self) -> Factors:
        """User and item embeddings and item biases, or item-item weights, which are read as such."""
        path, about = self.path / FACTORS_NAME, self.manifest
        with reading(path, RunError, _AGAIN):
            factors = (ItemWeights if self.model_class.has_item_weights else Factors).read(path)
            if (factors.num_users, factors.num_items) != (about.num_users, about.num_items):
                raise ValueError(f"there must be {about.num_users} users and {about.num_items} items")
        return factors

    @property
    def _visual_dim(self) -> int | None:
        return self.config.embedding_dim if self.model_class.has_weights else None

    @property
    def visual_user_embeddings(self) -> Array:
        """float32 [num_users, embedding_dim]: θ; the user embeddings without non-visual factors."""
        return self.factors.user_embeddings[:, : self._visual_dim]

    @property
    def visual_item_embeddings(self) -> Array:
        """float32 [num_items, embedding_dim]: Φ of every item; the item embeddings without non-visual factors."""
        return self.factors.item_embeddings[:, : self._visual_dim]

    @property
    def metrics(self) -> dict[str, Any]:
        """The last evaluation, empty before the first."""
        path = self.path / METRICS_NAME
        with reading(path, RunError, "Evaluate again."):
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @cached_property
    def members(self) -> list[Run]:
        """The runs of an ensemble, see `tfdvbpr.ensemble`; none for any other run."""
        folder = self.path / MEMBERS_NAME
        return [Run.open(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def check_is_no_ensemble(self, remedy: str) -> None:
        """Refuses an ensemble for what has to be done to each of its members.

        Args:
            remedy: what to do, as a sentence without its full stop.

        Raises:
            RunError: if this is an ensemble.
        """
        if self.members:
            raise RunError(f"RUN must not be an ensemble. {self.path} has {len(self.members)} members. {remedy}.")

    @cached_property
    def recommender(self) -> Any:
        """The Keras model with its weights, or an `Ensemble` of the members'.

        Raises:
            RunError: for a model without weights (popularity, VisRank).
        """
        if self.members:
            return Ensemble([member.recommender for member in self.members])
        if not (self.path / WEIGHTS_NAME).is_file():
            raise RunError(
                f"{self.path} must hold trained weights. A {self.manifest.model} run has none. Use a dvbpr run."
            )
        # The run's own weights are loaded: it opens where pretrained ones are not installed.
        with outside_graphs():
            model = self.model_class.for_dataset(self.config, self.manifest, pretrained=False)
            with reading(self.path / WEIGHTS_NAME, RunError, _AGAIN):
                load_weights(model, self.path / WEIGHTS_NAME)
        return model

    def user_indices(self, user_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the given users.

        Raises:
            UnknownIdError: if the run does not know one.
        """
        for user_id in user_ids:
            if user_id not in self._user_index:
                raise unknown_id("user", user_id, self.user_ids)
        return np.array([self._user_index[user_id] for user_id in user_ids], dtype=np.int32)

    def score(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 [U, I]: x̂_ui of every given user for every given item.

        Raises:
            UnknownIdError: if the run does not know an id.
        """
        scores = self.factors.scores(self.user_indices(user_ids))
        return scores[:, self.items.indices(item_ids)]

    def allowed_items(
        self, *, where: str | None = None, category: str | None = None, exclude_items: Sequence[str] = ()
    ) -> npt.NDArray[np.bool_]:
        """bool [num_items]: items of a category that a filter keeps and that are not excluded.

        Args:
            where: see `tfdvbpr.data.filters.matching_items`; the columns are those of `items.table`.
            category: left out, every category.
            exclude_items: ids.

        Raises:
            ConfigError: if the filter is malformed or names a column that is not there.
            UnknownIdError: if the run does not know the category or an excluded item.
        """
        allowed = np.ones(len(self.items), bool) if where is None else matching_items(self.items.table, where)
        if category is not None:
            allowed &= self.items.category_ids == self.items.category_id(category)
        allowed[self.items.indices(exclude_items)] = False
        return allowed

    def recommend(
        self,
        user_id: str,
        *,
        k: int = 10,
        category: str | None = None,
        exclude_seen: bool = True,
        where: str | None = None,
        exclude_items: Sequence[str] = (),
    ) -> list[Recommendation]:
        """The best `k` items for a user, best first; equal scores in the order of the catalogue.

        Args:
            user_id: as in the interactions.
            k: at most this many.
            category: only items of this category.
            exclude_seen: leave out what the user has acted on.
            where: only items that this filter over the catalogue's columns keeps; see `allowed_items`.
            exclude_items: ids of items to leave out.

        Raises:
            ConfigError: if the filter is malformed or names a column that is not there.
            UnknownIdError: if the run does not know the user, the category or an excluded item.
            ValueError: if `k` is less than 1.
        """
        allowed = self.allowed_items(where=where, category=category, exclude_items=exclude_items)
        user = self.user_indices([user_id])
        if exclude_seen:
            allowed[self.seen_items(int(user[0]))] = False
        return self._best(self.factors.scores(user)[0], allowed, k=k)

    def fold_in(self, liked: Sequence[Sequence[str]]) -> Array:
        """Embeddings of new users from the items they liked; docs/reference/equations.md has the formulas.

        Args:
            liked: item ids, a list per user; an item named twice counts once.

        Returns:
            float32 [B, D], in the space of `factors.user_embeddings`; the mean user's for an empty list.

        Raises:
            UnknownIdError: if the run does not know an item.
        """
        return self.folding([np.unique(self.items.indices(item_ids)) for item_ids in liked])

    def recommend_for(
        self,
        liked_item_ids: Sequence[str],
        *,
        k: int = 10,
        category: str | None = None,
        exclude_seen: bool = True,
        where: str | None = None,
        exclude_items: Sequence[str] = (),
    ) -> list[Recommendation]:
        """The best `k` items for a new user, folded in from liked items.

        Args:
            liked_item_ids: the user's; with none, the mean user's recommendations.
            k: at most this many.
            category: only items of this category.
            exclude_seen: leave out the liked items.
            where: as of `recommend`.
            exclude_items: as of `recommend`.

        Raises:
            ConfigError: if the filter is malformed or names a column that is not there.
            UnknownIdError: if the run does not know an item or the category.
            ValueError: if `k` is less than 1.
        """
        allowed = self.allowed_items(where=where, category=category, exclude_items=exclude_items)
        liked = self.items.indices(liked_item_ids)
        if exclude_seen:
            allowed[liked] = False
        return self._best(self.factors.scores_for(self.folding([np.unique(liked)]))[0], allowed, k=k)

    @cached_property
    def folding(self) -> FoldIn:
        """Folds new users in, as `fold_in` does, by rows of items."""
        if self.members:
            return ensemble_fold_in(self.factors, [member.folding for member in self.members])
        return self.model_class.fold_in(self)

    def _best(self, scores: Array, allowed: npt.NDArray[np.bool_], *, k: int) -> list[Recommendation]:
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received {k}.")
        candidates = np.flatnonzero(allowed)
        best = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
        table = self.items.table
        return [
            Recommendation(
                item_id=table["item_id"][int(item)], category=table["category"][int(item)], score=float(scores[item])
            )
            for item in best
        ]

    def seen_items(self, user: int, *splits: Split) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the items a user row has acted on, in the given parts or in all."""
        matrix = self._seen if not splits else self.interactions.matrix(*splits)
        seen: npt.NDArray[np.int32] = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
        return seen

    @cached_property
    def _seen(self) -> Any:
        return self.interactions.matrix(*Split)


def write_recommender_run(
    folder: Path,
    dataset: PreparedDataset,
    config: RecommenderConfig,
    factors: Factors,
    history: pl.DataFrame,
    seconds: float,
) -> None:
    """Writes all but the weights into a run folder that is being made; `history` has a row an epoch."""
    manifest = new_manifest(dataset, kind="recommender", model=config.model, training_seconds=seconds)
    write_run_header(folder, manifest, config, history)
    dataset.items.table.write_parquet(folder / ITEMS_NAME)
    pl.DataFrame({"user_id": dataset.user_ids}).write_parquet(folder / USERS_NAME)
    dataset.interactions.write(folder / INTERACTIONS_NAME)
    factors.write(folder / FACTORS_NAME)
