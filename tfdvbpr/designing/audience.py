"""Whose taste a design is for: one person's, a group's, or somebody's who is known by what she liked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.run import Run

Floats = npt.NDArray[np.float32]


class Tastes(NamedTuple):
    """Tastes of requests, each of one person or of several, as tensors.

    A member's preference is θᵀΦ + offset. A request's is (1 - t) · the weighted mean over its members + t · the least
    of them.

    Attributes:
        embeddings: float32 [B, M, D], θ of each member; or [1, M, D], the same for every row.
        offsets: float32 [B, M].
        weights: float32 [B, M], of the mean, 1 a row; 0 is no member.
        least_misery: float32 [], t in [0, 1].
    """

    embeddings: Any
    offsets: Any
    weights: Any
    least_misery: Any

    @classmethod
    def of(cls, embeddings: Any) -> Tastes:
        """One person a request: float32 [B, D]."""
        rows = tf.convert_to_tensor(embeddings, tf.float32)[:, None]
        ones = tf.ones_like(rows[:, :, 0])
        return cls(rows, tf.zeros_like(ones), ones, tf.zeros([]))

    def rows(self, requests: Any) -> Tastes:
        """The tastes of the given requests, int32 [R]; where there is one taste for all, it stays one."""
        if self.embeddings.shape[0] == 1:
            return self
        embeddings, offsets, weights = (tf.gather(part, requests) for part in self[:3])
        return Tastes(embeddings, offsets, weights, self.least_misery)

    def members(self, embeddings: Any) -> Any:
        """float32 [R, M]: every member's preference for pictures of the given Φ, float32 [R, D]."""
        return tf.matmul(self.embeddings, embeddings[:, :, None])[:, :, 0] + self.offsets

    def together(self, members: Any) -> Any:
        """float32 [R]: a request's preference from its members', float32 [R, M]."""
        mean = tf.reduce_sum(members * self.weights, axis=1)
        least = tf.reduce_min(tf.where(self.weights > 0.0, members, members.dtype.max), axis=1)
        return mean + self.least_misery * (least - mean)


@dataclass(frozen=True)
class Audience:
    """Whom to design for. Made by `user`, `group` or `liked`.

    Attributes:
        user_ids: one user, or the members of a group.
        item_ids: instead of users, what somebody new liked.
        least_misery: of a group: 0 pleases it on average, 1 its least pleased member, in between both.
        standardise: of a group: count every member's preference in standard deviations over the real items of the
            category, so that no strong taste drowns the others.
    """

    user_ids: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    least_misery: float = 0.0
    standardise: bool = False

    def __post_init__(self) -> None:
        if bool(self.user_ids) == bool(self.item_ids):
            raise ConfigError("A design is either for users or for liked items. Give one of the two.")
        if not 0.0 <= self.least_misery <= 1.0:
            raise ConfigError(f"`least_misery` must lie in [0, 1]. Received {self.least_misery}.")

    @classmethod
    def user(cls, user_id: str) -> Audience:
        """One user, as in the interactions."""
        return cls(user_ids=(user_id,))

    @classmethod
    def group(cls, user_ids: Sequence[str], *, least_misery: float = 0.0, standardise: bool = True) -> Audience:
        """Several users at once, such as a segment; a user named twice counts once."""
        return cls(tuple(dict.fromkeys(user_ids)), least_misery=least_misery, standardise=standardise)

    @classmethod
    def liked(cls, item_ids: Sequence[str]) -> Audience:
        """Somebody new, from the items she liked."""
        return cls(item_ids=tuple(item_ids))

    @property
    def name(self) -> str:
        """For people."""
        if self.item_ids:
            return "somebody new"
        return self.user_ids[0] if len(self.user_ids) == 1 else f"{len(self.user_ids)} users"

    def embeddings(self, run: Run) -> Floats:
        """float32 [M, D]: θ of each member under a run.

        Raises:
            UnknownIdError: if the run does not know a user or an item.
            RunError: if the run does not learn from pixels.
        """
        check_designs(run)
        if self.item_ids:
            return run.fold_in([self.item_ids])[:, : run.config.embedding_dim]
        return run.tastes[run.user_indices(self.user_ids)]

    def tastes(self, run: Run, category: str) -> Tastes:
        """The audience's taste under a run, one request, for designs of a category.

        Raises:
            UnknownIdError: if the run does not know a user, an item or, of a group, the category.
            RunError: if the run does not learn from pixels.
        """
        embeddings = self.embeddings(run)
        offsets = np.zeros(len(embeddings), np.float32)
        if self.standardise:
            embeddings, offsets = standardised(embeddings, run, category)
        weights = np.full(len(embeddings), 1.0 / len(embeddings), np.float32)
        first, second, third = (tf.constant(part[None], tf.float32) for part in (embeddings, offsets, weights))
        return Tastes(first, second, third, tf.constant(self.least_misery, tf.float32))


def standardised(embeddings: Floats, run: Run, category: str) -> tuple[Floats, Floats]:
    """θ and offsets with which preferences over the real items of a category have mean 0 and deviation 1.

    Args:
        embeddings: float32 [M, D].
        run: whose catalogue is looked at; all of it where the category is not in it.
        category: of the items.

    Returns:
        float32 [M, D] and [M].
    """
    looks = run.looks
    if category in run.items.categories:
        of_category = run.items.category_ids == run.items.category_id(category)
        looks = looks[of_category] if of_category.sum() > 1 else looks
    scores = looks @ embeddings.T  # [items, M]
    scale = 1.0 / np.maximum(scores.std(axis=0), 1e-6)
    return embeddings * scale[:, None], -scores.mean(axis=0) * scale


def standardised_tastes(run: Run, audiences: Sequence[Audience], categories: Sequence[str]) -> tuple[Floats, Floats]:
    """θ and offsets, one a row, with preferences in standard deviations over the real items of the row's category.

    Args:
        run: the recommender.
        audiences: one person each.
        categories: one a row.

    Returns:
        float32 [N, D] and [N].

    Raises:
        ConfigError: if an audience is a group.
        UnknownIdError: if the run does not know a user or an item.
    """
    if any(len(audience.user_ids) > 1 for audience in audiences):
        raise ConfigError("An item is tailored to one person. Received a group. Tailor it for each member.")
    plain = np.concatenate([audience.embeddings(run) for audience in audiences])
    embeddings, offsets = np.empty_like(plain), np.empty(len(plain), np.float32)
    for category in dict.fromkeys(categories):
        rows = np.array([one == category for one in categories])
        embeddings[rows], offsets[rows] = standardised(plain[rows], run, category)
    return embeddings, offsets


def offset_tastes(embeddings: Floats, offsets: Floats) -> Tastes:
    """One person a row, with an offset: float32 [B, D] and [B]."""
    return Tastes.of(embeddings)._replace(offsets=tf.constant(offsets[:, None], tf.float32))


def check_designs(run: Run) -> None:
    """Refuses a run that does not look at pixels.

    Raises:
        RunError: naming its model.
    """
    if not run.model_class.scores_images:
        raise RunError(f"Design needs a dvbpr run. {run.path} is a {run.manifest.model} run. Train --model dvbpr.")
