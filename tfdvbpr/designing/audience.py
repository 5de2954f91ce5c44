"""Audiences of a design: one user, a group of users, or a new user known by liked items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.designing.options import check_weight
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.run import Run

STRENGTH = 0.7  # of a direction; docs/results/images/index.md has what it was chosen by

Floats = npt.NDArray[np.float32]


class AudienceEmbeddings(NamedTuple):
    """User embeddings of requests, each of one member or of several, as tensors.

    A member's preference is θᵀΦ + offset; a request's is the mean over its members.

    Attributes:
        embeddings: float32 [B, M, D], θ of each member; or [1, M, D], the same for every row.
        offsets: float32 [B, M].
    """

    embeddings: Any
    offsets: Any

    @classmethod
    def of_users(cls, user_embeddings: Any, offsets: Any = None) -> AudienceEmbeddings:
        """One user per request: float32 [B, D], and offsets float32 [B], 0 if left out."""
        rows = tf.convert_to_tensor(user_embeddings, tf.float32)[:, None]
        if offsets is None:
            return cls(rows, tf.zeros_like(rows[:, :, 0]))
        return cls(rows, tf.convert_to_tensor(offsets, tf.float32)[:, None])

    def gather(self, requests: Any) -> AudienceEmbeddings:
        """The rows of the given requests, int32 [R]; a single row that serves all requests stays one."""
        if self.embeddings.shape[0] == 1:
            return self
        return AudienceEmbeddings(*(tf.gather(part, requests) for part in self))

    def member_preferences(self, item_embeddings: Any) -> Any:
        """float32 [R, M]: each member's preference for items of the given Φ, float32 [R, D]."""
        return tf.matmul(self.embeddings, item_embeddings[:, :, None])[:, :, 0] + self.offsets

    def preferences(self, item_embeddings: Any) -> Any:
        """float32 [R]: each request's preference, the mean over its members."""
        return tf.reduce_mean(self.member_preferences(item_embeddings), axis=1)


@dataclass(frozen=True)
class Audience:
    """Whom to design for. Made by `user`, `group` or `liked`, and moved by `toward`.

    A group's members count alike: each member's preference is in standard deviations over the real items of the
    category, and the group's is their mean.

    Attributes:
        user_ids: one user, or the members of a group.
        item_ids: instead of users, the items that a new user liked.
        more_like: items toward which designs are moved.
        less_like: items away from which designs are moved.
        strength: how much that counts beside the preference, above 0; 1 is as much.

    Example:
        >>> Audience.group(["u1", "u2", "u1"]).user_ids
        ('u1', 'u2')
        >>> Audience.user("u1").toward(more_like=["i3"], less_like=["i9"]).name
        'u1, more like i3, less like i9'
    """

    user_ids: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    more_like: tuple[str, ...] = ()
    less_like: tuple[str, ...] = ()
    strength: float = STRENGTH

    def __post_init__(self) -> None:
        if bool(self.user_ids) == bool(self.item_ids):
            raise ConfigError("A design is for users (--user) or for liked items (--liked). Give one of the two.")
        check_weight("strength", self.strength, above_zero=True)

    @classmethod
    def user(cls, user_id: str) -> Audience:
        """One user, as in the interactions."""
        return cls(user_ids=(user_id,))

    @classmethod
    def group(cls, user_ids: Sequence[str]) -> Audience:
        """Several users at once, such as a segment; a user named twice counts once."""
        return cls(user_ids=tuple(dict.fromkeys(user_ids)))

    @classmethod
    def liked(cls, item_ids: Sequence[str]) -> Audience:
        """A new user, from liked items."""
        return cls(item_ids=tuple(item_ids))

    @classmethod
    def of_json(cls, about: dict[str, Any]) -> Audience:
        """From what `dataclasses.asdict` and JSON have made of one."""
        ids = {name: tuple(value) for name, value in about.items() if name != "strength"}
        return cls(**ids, strength=float(about.get("strength", STRENGTH)))

    def toward(
        self, *, more_like: Sequence[str] = (), less_like: Sequence[str] = (), strength: float = STRENGTH
    ) -> Audience:
        """The same audience, for designs that are also more like some items, or less like others.

        The direction leads from the mean Φ of the latter to that of the former; where one of them is empty, the whole
        catalogue stands in its place. Each member's preference becomes (preference + strength · direction) /
        (1 + strength), both in standard deviations over the real items of the category.

        Args:
            more_like: item ids.
            less_like: item ids.
            strength: above 0.
        """
        return replace(self, more_like=tuple(more_like), less_like=tuple(less_like), strength=float(strength))

    @property
    def named_items(self) -> tuple[str, ...]:
        """All items that are named."""
        return (*self.item_ids, *self.more_like, *self.less_like)

    @property
    def name(self) -> str:
        """A title for output."""
        if self.item_ids:
            title = "a new user"
        else:
            title = self.user_ids[0] if len(self.user_ids) == 1 else f"{len(self.user_ids)} users"
        for relation, items in (("more", self.more_like), ("less", self.less_like)):
            if items:
                title += f", {relation} like {items[0] if len(items) == 1 else f'{len(items)} items'}"
        return title

    def embeddings(self, run: Run, category: str) -> AudienceEmbeddings:
        """The audience under a run, as one request for designs of a category.

        A single user's preference is θᵀΦ itself; a group's, and that of an audience that is moved, is `standardized`.

        Raises:
            UnknownIdError: if the run does not know a user or an item.
            RunError: if the run does not learn from pixels.
        """
        users = self._user_embeddings(run)
        offsets = np.zeros(len(users), np.float32)
        if len(users) > 1 or self.more_like or self.less_like:
            users, offsets = self.standardized(run, category)
        return AudienceEmbeddings(tf.constant(users[None], tf.float32), tf.constant(offsets[None], tf.float32))

    def standardized(self, run: Run, category: str) -> tuple[Floats, Floats]:
        """θ, float32 [M, D], and offsets, [M], of preferences in standard deviations over a category's real items.

        Raises:
            UnknownIdError: if the run does not know a user or an item.
            RunError: if the run does not learn from pixels.
        """
        users, offsets = standardize(self._user_embeddings(run), run, category)
        if not self.more_like and not self.less_like:
            return users, offsets
        direction, offset = standardize(self._direction(run)[None], run, category)
        share = self.strength / (1.0 + self.strength)
        return (1.0 - share) * users + share * direction, (1.0 - share) * offsets + share * offset

    def _user_embeddings(self, run: Run) -> Floats:
        """float32 [M, D]: θ of each member under a run."""
        check_learns_from_pixels(run)
        if self.item_ids:
            return run.fold_in([self.item_ids])[:, : run.config.embedding_dim]
        return run.visual_user_embeddings[run.user_indices(self.user_ids)]

    def _direction(self, run: Run) -> Floats:
        """float32 [D]: from the mean Φ of `less_like` to that of `more_like`."""
        items = run.visual_item_embeddings
        more, less = (
            items[run.items.indices(ids)].mean(axis=0) if ids else items.mean(axis=0)
            for ids in (self.more_like, self.less_like)
        )
        direction: Floats = more - less
        return direction


def standardize(user_embeddings: Floats, run: Run, category: str) -> tuple[Floats, Floats]:
    """θ, float32 [M, D], and offsets, [M], with which preferences over a category's real items have mean 0 and
    deviation 1.

    The items are those of the run's catalogue; all of it where it has fewer than two of the category.
    """
    item_embeddings = run.visual_item_embeddings
    if category in run.items.categories:
        of_category = run.items.category_ids == run.items.category_id(category)
        item_embeddings = item_embeddings[of_category] if of_category.sum() > 1 else item_embeddings
    scores = item_embeddings @ user_embeddings.T  # [items, M]
    scale = 1.0 / np.maximum(scores.std(axis=0), 1e-6)
    return user_embeddings * scale[:, None], -scores.mean(axis=0) * scale


def standardized_users(run: Run, audiences: Sequence[Audience], categories: Sequence[str]) -> tuple[Floats, Floats]:
    """One θ and offset a row, with preferences in standard deviations over the real items of the row's category.

    A group's are the means of its members', which give the mean of their preferences.

    Returns:
        float32 [N, D] and [N], for `AudienceEmbeddings.of_users`.

    Raises:
        UnknownIdError: if the run does not know a user or an item.
    """
    rows = [audience.standardized(run, category) for audience, category in zip(audiences, categories, strict=True)]
    embeddings: Floats = np.stack([users.mean(axis=0) for users, _ in rows])
    offsets: Floats = np.array([values.mean() for _, values in rows], np.float32)
    return embeddings, offsets


def check_learns_from_pixels(run: Run) -> None:
    """Refuses a run whose item embeddings are not computed from pixels by a trained network."""
    if not run.model_class.scores_images:
        raise RunError(f"Design needs a dvbpr run. {run.path} is a {run.manifest.model} run. Train --model dvbpr.")
