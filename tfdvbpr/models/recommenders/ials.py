"""iALS: matrix factorisation by alternating least squares on every user-item pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.models.recommenders.base import Recommender, TrainedRun, Values
from tfdvbpr.models.recommenders.factors import Array, Factors

if TYPE_CHECKING:
    from tfdvbpr.config import RecommenderConfig
    from tfdvbpr.data.interactions import Interactions
    from tfdvbpr.models.recommenders.fold_in import FoldIn

_STDDEV = 0.1
_BLOCK_FLOATS = 1 << 22

Floats = npt.NDArray[np.float64]


class IALS(Recommender):
    """Minimises Σ_{(u,i)∈S} (θ_uᵀφ_i - 1)² + α₀ Σ_{u,i} (θ_uᵀφ_i)² + R over all embeddings in turn.

    Hu, Koren and Volinsky 2008, with the regularisation of Rendle et al. 2021 at ν = 1,
    R = λ Σ_u (n_u + α₀ I) ‖θ_u‖² + λ Σ_i (n_i + α₀ U) ‖φ_i‖². S are the training actions; α₀ is `unobserved_weight`,
    λ is `weight_l2`, and an epoch solves all items and then all users.
    """

    defaults: ClassVar[Values] = {"epochs": 16, "weight_l2": 0.003}
    is_seeded: ClassVar[bool] = True

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> Factors:
        """The factors after `epochs`; users that are normal with σ 0.1 / √D come first."""
        by_user = sparse.csr_array(interactions.training_matrix)
        by_item = sparse.csr_array(by_user.T)
        shape = (interactions.num_users, config.embedding_dim)
        users = np.random.default_rng(config.seed).standard_normal(shape) * _STDDEV / np.sqrt(config.embedding_dim)
        for _ in range(config.epochs):
            items = solve_side(by_item, users, unobserved_weight=config.unobserved_weight, l2=config.weight_l2)
            users = solve_side(by_user, items, unobserved_weight=config.unobserved_weight, l2=config.weight_l2)
        return Factors(users.astype(np.float32), items.astype(np.float32), np.zeros(len(items), np.float32))

    @classmethod
    def fold_in(cls, run: TrainedRun) -> FoldIn:
        """The solution for a new user, which for a training user's items is the user's own embedding."""
        from tfdvbpr.models.recommenders.fold_in import LeastSquaresFoldIn

        return LeastSquaresFoldIn.from_fit(
            run.factors,
            others=np.zeros(0, np.int32),
            unobserved_weight=run.config.unobserved_weight,
            user_l2=run.config.weight_l2,
        )


def solve_side(acted: sparse.csr_array, others: Floats, *, unobserved_weight: float, l2: float) -> Floats:
    """float64 [N, D]: (α₀ VᵀV + Σ_j v_j v_jᵀ + λ(n + α₀ M) I)⁻¹ Σ_j v_j for each row, over its n actions j.

    Args:
        acted: bool [N, M], whose rows are solved for.
        others: float64 [M, D], v, which stays as it is.
        unobserved_weight: α₀.
        l2: λ.
    """
    counts, (num_others, size) = np.diff(acted.indptr), others.shape
    solved, everything = np.empty((acted.shape[0], size)), unobserved_weight * others.T @ others
    penalties = l2 * (counts + unobserved_weight * num_others)
    block = max(1, _BLOCK_FLOATS // size**2)
    for start in range(0, len(solved), block):
        rows = range(start, min(start + block, len(solved)))
        left, right = np.empty((len(rows), size, size)), np.empty((len(rows), size, 1))
        for place, row in enumerate(rows):
            own = others[acted.indices[acted.indptr[row] : acted.indptr[row + 1]]]
            left[place] = everything + own.T @ own + penalties[row] * np.eye(size)
            right[place, :, 0] = own.sum(axis=0)
        solved[start : rows.stop] = np.linalg.solve(left, right)[:, :, 0]
    return solved
