"""Fold-in: a new user's embedding from the items the user liked, with everything else left as it was trained.

θ = [c; f]. The closed part c is a shrunk mean of vectors of the liked items; the fitted part f minimises the user's own
share of the BPR loss and of its penalty. DVBPR with user profiles, VisRank and the siamese CNN have c alone, a free θ
is f alone, and hybrid DVBPR has both: θ and γ. The functions are plain Keras operations on arrays, many users at once,
and run in a graph as they do outside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from tfdvbpr.models.recommenders.base import TrainedRun
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.item_weights import ItemWeights

_MOST_STEPS = 50
_TOLERANCE = 1e-5
_MOST_OTHERS = 2048
_LEAST_L2 = 1e-3
_BLOCK_FLOATS = 1 << 22


def standardised(embeddings: Array, known: npt.NDArray[np.bool_]) -> Array:
    """float32 [N, D]: each dimension less its mean and over its deviation among the known rows, bool [N]."""
    chosen = embeddings[known]
    items: Array = (embeddings - chosen.mean(axis=0)) / np.maximum(chosen.std(axis=0), 1e-6)
    return items.astype(np.float32)


def shrunk_means(vectors: Any, is_liked: Any, *, shrinkage: float) -> Any:
    """float32 [B, C]: Σ_j v_j / (n + κ) over the liked items of each row; 0 without any.

    Args:
        vectors: float32 [B, n, C], of the liked items, padded.
        is_liked: float32 [B, n], 1 and, on padding, 0.
        shrinkage: κ, in actions.
    """
    sums = ops.einsum("bn,bnc->bc", is_liked, vectors)
    return sums / ops.maximum(ops.sum(is_liked, axis=1, keepdims=True) + shrinkage, 1e-6)


def fit_users(
    liked: Any,
    others: Any,
    liked_offsets: Any,
    other_offsets: Any,
    *,
    weights: Any,
    is_negative: Any,
    first: Any,
    user_l2: float,
) -> Any:
    """Minimises Σ_i w_i mean_j softplus(x_j - x_i) + ½λ‖f‖² over f, with x = fᵀφ + offset; convex in f.

    Newton's method for all users at once; each stops when its own gradient is small, so that no answer depends on its
    neighbours.

    Args:
        liked: float32 [B, n, F], φ of each user's liked items, padded.
        others: float32 [S, F], φ of the items they are ranked against.
        liked_offsets: float32 [B, n], what the score holds beside fᵀφ.
        other_offsets: float32 [B, S] or [1, S], the same for the others.
        weights: float32 [B, n], summing to 1 a row, 0 on padding.
        is_negative: float32 [B, S], 0 where the other item is one of the liked.
        first: float32 [B, F], initial values.
        user_l2: λ, above 0.

    Returns:
        float32 [B, F].
    """
    size = others.shape[1]
    upper, square = np.triu_indices(size), np.zeros((size, size), np.int32)
    square[upper] = square.T[upper] = np.arange(len(upper[0]))
    products = ops.take(others, upper[0], axis=1) * ops.take(others, upper[1], axis=1)  # [S, F(F+1)/2]
    pairs = weights[:, :, None] * is_negative[:, None, :]  # [B, n, S]
    pairs = pairs / ops.maximum(ops.sum(is_negative, axis=1), 1.0)[:, None, None]

    def differences(users: Any, offsets: tuple[Any, Any] | None = None) -> Any:
        """x_j - x_i, [B, n, S]; of a direction, without the offsets, their change along it."""
        own, other = offsets or (0.0, 0.0)
        scores = ops.matmul(users, ops.transpose(others)) + other
        return scores[:, None, :] - (ops.einsum("bf,bnf->bn", users, liked) + own)[:, :, None]

    def step(users: Any, done: Any) -> tuple[Any, Any]:
        margins = differences(users, (liked_offsets, other_offsets))
        slopes = ops.sigmoid(margins)
        curves = pairs * slopes * (1.0 - slopes)
        slopes = pairs * slopes
        gradient = ops.matmul(ops.sum(slopes, axis=1), others) + user_l2 * users
        gradient -= ops.einsum("bn,bnf->bf", ops.sum(slopes, axis=2), liked)
        cross = ops.einsum("bnf,bng->bfg", liked, ops.matmul(curves, others))
        hessian = ops.take(ops.matmul(ops.sum(curves, axis=1), products), square, axis=1)
        hessian += ops.einsum("bnf,bng->bfg", liked * ops.sum(curves, axis=2)[:, :, None], liked)
        hessian += user_l2 * ops.eye(size) - cross - ops.transpose(cross, (0, 2, 1))
        direction = -ops.solve(hessian, gradient[:, :, None])[:, :, 0]
        length = _step_length(users, direction, margins, differences(direction), pairs, user_l2)
        # The step of a small gradient is taken too: it is the most exact one, and where a fit began matters no more.
        moved = ops.where(done[:, None], users, users + length[:, None] * direction)
        return moved, ops.logical_or(done, ops.max(ops.abs(gradient), axis=1) < _TOLERANCE)

    return ops.while_loop(
        lambda _, done: ops.logical_not(ops.all(done)),
        step,
        (first, ops.max(weights, axis=1) <= 0.0),
        maximum_iterations=_MOST_STEPS,
    )[0]


def _step_length(users: Any, direction: Any, margins: Any, changes: Any, pairs: Any, user_l2: float) -> Any:
    """float32 [B]: 1 or ln(1 + V) / V, whichever has less loss; V is the largest change of a margin.

    The third derivative of softplus is at most its second, so that the loss cannot grow with the second length (Bach
    2010; Sun and Tran-Dinh 2019); the first is what converges fast near the end.
    """
    largest = ops.maximum(ops.max(ops.abs(changes) * ops.cast(pairs > 0, "float32"), axis=(1, 2)), 1e-6)

    def loss(length: Any) -> Any:
        moved = users + length[:, None] * direction
        losses = ops.sum(pairs * ops.softplus(margins + length[:, None, None] * changes), axis=(1, 2))
        return losses + 0.5 * user_l2 * ops.sum(ops.square(moved), axis=1)

    safe, whole = ops.log1p(largest) / largest, ops.ones_like(largest)
    return ops.where(loss(whole) < loss(safe), whole, safe)


@dataclass(frozen=True)
class LikedItems:
    """What folding in takes of the items each user liked, padded; arrays or tensors of a graph.

    Attributes:
        rows: int32 [B, n].
        is_liked: float32 [B, n], 1 and, on padding, 0; each row has at least one.
        embeddings: float32 [B, n, D].
        closed: float32 [B, n, C].
        biases: float32 [B, n], of `FoldIn.fit_biases`.
        action_weights: float32 [B, n].
    """

    rows: Any
    is_liked: Any
    embeddings: Any
    closed: Any
    biases: Any
    action_weights: Any


@dataclass(frozen=True)
class FoldIn:
    """What folding users into a trained model takes, as arrays.

    Attributes:
        factors: of the model.
        closed_items: float32 [num_items, C], whose shrunk means make the first C numbers of an embedding; C may be 0.
        shrinkage: κ of those means, in actions.
        prior: float32 [C], added to the scaled mean.
        scale: of the mean.
        others: int32 [S], rows of the items that the liked ones are ranked against.
        action_weights: float32 [num_items], what an action on each item counts in the fit.
        user_l2: λ of the fit.
        offsets: float32 [num_items], added to scores in the fit; see `popularity_offset`.
    """

    factors: Factors
    closed_items: Array
    shrinkage: float
    prior: Array
    scale: float
    others: npt.NDArray[np.int32]
    action_weights: Array
    user_l2: float
    offsets: Array

    @classmethod
    def from_means(cls, factors: Factors, items: Array, **values: Any) -> FoldIn:
        """Embeddings that are shrunk means of `items`, float32 [num_items, C], in whole or in their first C numbers.

        `values` are other attributes; left out, plain means and a fit against every item.
        """
        defaults: dict[str, Any] = {
            "shrinkage": 0.0,
            "prior": np.zeros(items.shape[1], np.float32),
            "scale": 1.0,
            "others": np.arange(len(items), dtype=np.int32),
            "action_weights": np.ones(len(items), np.float32),
            "user_l2": 0.0,
            "offsets": np.zeros(len(items), np.float32),
        }
        return cls(factors=factors, closed_items=items, **{**defaults, **values})

    @classmethod
    def from_fit(cls, factors: Factors, **values: Any) -> FoldIn:
        """Embeddings that are fitted in whole; arguments as of `from_means`."""
        return cls.from_means(factors, np.zeros((len(factors.item_embeddings), 0), np.float32), **values)

    @property
    def fit_biases(self) -> Array:
        """float32 [num_items]: what scores hold in the fit beside θᵀφ."""
        return self.factors.item_biases + self.offsets

    def __call__(self, liked: list[npt.NDArray[np.int32]]) -> Array:
        """float32 [B, D]: embeddings of users by the rows of the items each liked; the mean user's for none."""
        users = np.tile(self.factors.user_embeddings.mean(axis=0), (len(liked), 1)).astype(np.float32)
        sizes = np.array([len(rows) for rows in liked], np.int64)
        order = np.argsort(sizes, kind="stable")  # users of one block are padded to the largest of them
        order = order[sizes[order] > 0]
        while len(order):
            widest = int(sizes[order[: self._block(1)]].max())
            block, order = np.split(order, [self._block(widest)])
            width = int(sizes[block].max())
            padded = np.stack([np.pad(liked[user], (0, width - sizes[user])) for user in block])
            is_liked = np.arange(width) < sizes[block, None]
            users[block] = ops.convert_to_numpy(self.embed(padded, is_liked.astype(np.float32)))
        return users

    def _block(self, width: int) -> int:
        """Users a block, so that its largest array stays near 16 MiB."""
        dim = self.factors.item_embeddings.shape[1]
        fitted = self.closed_items.shape[1] < dim
        return max(1, _BLOCK_FLOATS // (width * max(dim, len(self.others) if fitted else 0)))

    def embed(self, liked: Any, is_liked: Any) -> Any:
        """float32 [B, D] from int32 [B, n] item rows and float32 [B, n], 0 on padding; each row has at least one."""
        return self.embed_items(
            LikedItems(
                rows=liked,
                is_liked=is_liked,
                embeddings=ops.take(self.factors.item_embeddings, liked, axis=0),
                closed=ops.take(self.closed_items, liked, axis=0),
                biases=ops.take(self.fit_biases, liked, axis=0),
                action_weights=ops.take(self.action_weights, liked, axis=0),
            )
        )

    def embed_items(self, liked: LikedItems) -> Any:
        """float32 [B, D] from liked items whose rows of the tables have been looked up already."""
        width = self.closed_items.shape[1]
        if width == 0:
            return self._fit(liked, None)
        closed = self.prior + self.scale * shrunk_means(liked.closed, liked.is_liked, shrinkage=self.shrinkage)
        if width == self.factors.item_embeddings.shape[1]:
            return closed
        return ops.concatenate([closed, self._fit(liked, closed)], axis=1)

    def _fit(self, liked: LikedItems, closed: Any) -> Any:
        """float32 [B, F]: the fitted part beside the closed one, float32 [B, C] or None."""
        width, biases, others = self.closed_items.shape[1], self.fit_biases, self.others
        visual, fitted = np.split(self.factors.item_embeddings[others], [width], axis=1)
        liked_offsets, other_offsets = liked.biases, ops.convert_to_tensor(biases[None, others])
        if closed is not None:
            liked_offsets += ops.einsum("bc,bnc->bn", closed, liked.embeddings[:, :, :width])
            other_offsets += ops.matmul(closed, visual.T)
        weights = liked.is_liked * liked.action_weights
        among_liked = ops.equal(ops.expand_dims(liked.rows, 2), others) & (ops.expand_dims(liked.is_liked, 2) > 0)
        return fit_users(
            liked.embeddings[:, :, width:],
            ops.convert_to_tensor(fitted),
            liked_offsets,
            other_offsets,
            weights=weights / ops.sum(weights, axis=1, keepdims=True),
            is_negative=1.0 - ops.cast(ops.any(among_liked, axis=1), "float32"),
            first=ops.ones_like(weights[:, :1]) * self.factors.user_embeddings[:, width:].mean(axis=0),
            user_l2=max(self.user_l2, _LEAST_L2),
        )


@dataclass(frozen=True)
class LeastSquaresFoldIn(FoldIn):
    """Of iALS: the user's own normal equations, with every item's embedding left as it was trained.

    Attributes:
        unobserved_weight: α₀; `user_l2` is λ.
    """

    unobserved_weight: float

    def embed_items(self, liked: LikedItems) -> Any:
        """float32 [B, D]: see `FoldIn`."""
        items = self.factors.item_embeddings
        everything = self.unobserved_weight * items.T @ items
        counts = ops.sum(liked.is_liked, axis=1)[:, None, None]
        penalties = self.user_l2 * (counts + self.unobserved_weight * len(items)) * ops.eye(items.shape[1])
        own = liked.embeddings * liked.is_liked[:, :, None]
        left = everything + ops.matmul(ops.transpose(own, (0, 2, 1)), own) + penalties
        return ops.solve(left, ops.sum(own, axis=1)[:, :, None])[:, :, 0]


class HistoryFoldIn(FoldIn):
    """Of `ItemWeights`: 1/n for each of the n liked items, and 0 for the rest of the catalogue."""

    def __call__(self, liked: list[npt.NDArray[np.int32]]) -> Array:
        """float32 [B, num_items]: see `FoldIn`."""
        factors = self.factors
        assert isinstance(factors, ItemWeights)
        users = np.zeros((len(liked), factors.num_items), np.float32)
        for user, rows in zip(users, liked, strict=True):
            if len(rows):
                user[rows] = np.float32(1 / len(rows))
            else:
                user[:] = factors.mean_user
        return users

    def embed_items(self, liked: LikedItems) -> Any:
        """float32 [B, num_items]: see `FoldIn`."""
        places = ops.one_hot(liked.rows, self.factors.num_items)  # [B, n, num_items]
        return shrunk_means(places, liked.is_liked, shrinkage=0.0)


def fit_values(run: TrainedRun) -> dict[str, Any]:
    """The arguments of `FoldIn.from_fit` that repeat the objective a run was trained with."""
    counts, config = run.interactions.training_counts, run.config
    balance = config.item_balance if config.batching == "shared-item" else 0.0
    return {
        "others": ranked_against(counts),
        "action_weights": np.maximum(counts, 1).astype(np.float32) ** -balance,
        "user_l2": config.user_l2,
        "offsets": run.interactions.popularity_offsets(config.popularity_offset),
    }


def ranked_against(training_counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """int32 [S]: the items with a training action, or 2,048 of them, the same at each call.

    Items without one are left out, so that items added to a catalogue later change no fold-in.
    """
    trained = np.flatnonzero(training_counts).astype(np.int32)
    if len(trained) > _MOST_OTHERS:
        trained = np.sort(np.random.default_rng(0).choice(trained, _MOST_OTHERS, replace=False))
    return trained
