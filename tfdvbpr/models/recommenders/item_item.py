"""EASE and ItemKNN: a score is a sum of weights between the user's items and the ranked one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.base import Recommender, TrainedRun, Values
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.models.recommenders.item_weights import ItemWeights

if TYPE_CHECKING:
    from tfdvbpr.config import RecommenderConfig
    from tfdvbpr.data.interactions import Interactions
    from tfdvbpr.models.recommenders.fold_in import FoldIn

MOST_ITEMS = 16_384
_BLOCK_ENTRIES = 1 << 24


class ItemItemRecommender(Recommender):
    """x̂_ui = 1/n_u Σ_j W_ji over the user's n_u training items; a subclass defines `weights_of_items`."""

    has_item_weights: ClassVar[bool] = True

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> ItemWeights:
        """The weights, of each item its `num_neighbours` largest by magnitude, beside the users' training items."""
        histories = sparse.csr_array(interactions.training_matrix).astype(np.float32)
        blocks = cls.weights_of_items(config, histories)
        kept = [strongest(block, config.num_neighbours) for block in blocks]
        return ItemWeights(histories, sparse.csr_array(sparse.vstack(kept).T))

    @classmethod
    def weights_of_items(cls, config: RecommenderConfig, histories: sparse.csr_array) -> Iterator[sparse.csr_array]:
        """Rows of Wᵀ, float32 [n, num_items], a block of items at a time: what each of the user's items adds to them.

        Args:
            histories: float32 [num_users, num_items], 1 where a user has a training action on an item.
        """
        raise TypeError(f"{cls.__name__} must define weights_of_items.")

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """The liked items themselves, as a training user's."""
        from tfdvbpr.models.recommenders.fold_in import HistoryFoldIn

        return HistoryFoldIn.from_fit(run.factors, others=np.zeros(0, np.int32))


class EASE(ItemItemRecommender):
    """W = I - P diag(1/P_11, 1/P_22, ...), P = (XᵀX + Λ)⁻¹: ridge regression of each item on the others.

    Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data: Λ = λI, and X has a row a user, 1 for a training
    action. λ is `weight_l2`. With p = `weight_dropout` it is EDLAE (Steck 2020, Autoencoders that don't overfit towards
    the Identity), Λ = λI + p/(1-p) diag(XᵀX): the expectation of dropout of the user's items. With `user_balance` β a
    row is scaled by n_u^-β, so that users of many items weigh less.

    Unlike in the papers a score is divided by the user's number of items, which changes no ranking, and
    `num_neighbours` may keep an item's N largest weights. The inverse takes about 24 bytes for each pair of items with
    training actions, and there may be 16,384 of them; an item without any has no weights.
    """

    @classmethod
    def weights_of_items(cls, config: RecommenderConfig, histories: sparse.csr_array) -> Iterator[sparse.csr_array]:
        """See the class."""
        num_items = histories.shape[1]
        trained = np.flatnonzero(histories.sum(axis=0))
        _check_size(len(trained), "`ease` inverts a matrix of items. Train item-knn or bpr-mf.")
        counts = np.maximum(np.diff(histories.indptr), 1)
        actions = sparse.diags_array(counts**-config.user_balance) @ histories[:, trained].astype(np.float64)
        gram = (actions.T @ actions).toarray()
        dropped = config.weight_dropout / (1 - config.weight_dropout)
        gram[np.diag_indices(len(trained))] += config.weight_l2 + dropped * np.diag(gram)
        inverse = np.linalg.inv(gram)
        for rows in blocks_of_items(num_items):
            own = np.searchsorted(trained, [rows.start, rows.stop])
            # P is symmetric: row i of Wᵀ is row i of P over -P_ii.
            block = inverse[slice(*own)] / -np.diag(inverse)[slice(*own), None]
            block[np.arange(len(block)), np.arange(*own)] = 0.0
            entries = sparse.coo_array(block.astype(np.float32))
            places = (trained[own[0] + entries.row] - rows.start, trained[entries.col])
            yield sparse.csr_array((entries.data, places), shape=(rows.stop - rows.start, num_items))


class ItemKNN(ItemItemRecommender):
    """W_ji = n_ij / (√n_i √n_j + h) of the N items j nearest to i: the cosine of their training actions, shrunk.

    Sarwar et al. 2001, with the shrinkage of Ferrari Dacrema et al. 2019; n_ij users acted on both items, h is
    `shrinkage` and N is `num_neighbours`. A score is divided by the user's number of items, which changes no ranking.
    """

    defaults: ClassVar[Values] = {"num_neighbours": 100}

    @classmethod
    def weights_of_items(cls, config: RecommenderConfig, histories: sparse.csr_array) -> Iterator[sparse.csr_array]:
        """See the class."""
        if not config.num_neighbours:
            _check_size(histories.shape[1], "`num_neighbours` 0 keeps every pair of them. Set num_neighbours=100.")
        actions = histories.astype(np.float64)
        norms, items = np.sqrt(actions.sum(axis=0)), sparse.csr_array(actions.T)
        for rows in blocks_of_items(histories.shape[1]):
            block = sparse.csr_array(items[rows] @ actions)
            own = rows.start + _row_of_entries(block)
            cosines = block.data / (norms[own] * norms[block.indices] + config.shrinkage)
            block.data = np.where(own == block.indices, 0.0, cosines)
            yield block.astype(np.float32)


def strongest(rows: sparse.csr_array, num_neighbours: int) -> sparse.csr_array:
    """The entries of each row that are largest by magnitude, and of equal ones the first; 0 keeps all but zeros.

    Example:
        >>> strongest(sparse.csr_array([[0.5, -2.0, 0.0, 1.0]]), 2).toarray().tolist()
        [[0.0, -2.0, 0.0, 1.0]]
    """
    rows.eliminate_zeros()
    rows.sort_indices()
    if not num_neighbours:
        return rows
    owners = _row_of_entries(rows)
    order = np.lexsort((rows.indices, -np.abs(rows.data), owners))
    kept = np.sort(order[np.arange(len(order)) - rows.indptr[owners] < num_neighbours])
    ends = np.cumsum(np.minimum(np.diff(rows.indptr), num_neighbours))
    return sparse.csr_array((rows.data[kept], rows.indices[kept], np.r_[0, ends]), shape=rows.shape)


def _row_of_entries(rows: sparse.csr_array) -> npt.NDArray[Any]:
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


def blocks_of_items(num_items: int) -> Iterator[slice]:
    """Slices of the catalogue, so that a dense block of rows of Wᵀ has at most some 16 million numbers."""
    size = max(1, _BLOCK_ENTRIES // num_items)
    return (slice(start, min(start + size, num_items)) for start in range(0, num_items, size))


def _check_size(num_items: int, sentence: str) -> None:
    if num_items > MOST_ITEMS:
        raise ConfigError(f"The dataset must have at most {MOST_ITEMS:,} items. Received {num_items:,}. {sentence}")
