"""Why an item is ranked where it is for a user: where in the picture, and from which of her items, the score comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import RunError, check_choice
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run import Run
from tfdvbpr.run.attribution import BASELINES, integrated_gradients

_STEPS = 64


@dataclass(frozen=True)
class TasteSource:
    """A liked item and its part of a score.

    Attributes:
        item_id: as in the items.
        share: what the item adds to the score; with the prior's, the shares of all liked items give the score.
    """

    item_id: str
    share: float


@dataclass(frozen=True)
class Explanation:
    """Where the visual part of a score, θᵀΦ(X), comes from.

    Attributes:
        item_id: as in the items.
        image_uint8: uint8 [H, W, 3], the picture that was looked at.
        score: θᵀΦ(X); for a hybrid without its γᵀγ + β.
        baseline_score: θᵀΦ of the baseline picture.
        attributions: float32 [H, W], positive where a pixel speaks for the item; they sum to score - baseline_score.
        sources: the user's training items, the one that adds most first; empty where θ is free.
    """

    item_id: str
    image_uint8: npt.NDArray[np.uint8]
    score: float
    baseline_score: float
    attributions: npt.NDArray[np.float32]
    sources: list[TasteSource]


def explain(
    run: Run,
    user_id: str,
    item_ids: Sequence[str],
    *,
    dataset: PreparedDataset,
    baseline: str = "white",
    steps: int = _STEPS,
) -> list[Explanation]:
    """Integrated gradients of θᵀΦ(X) over the pixels, and each liked item's share of it.

    Args:
        run: of a model that learns from pixels.
        user_id: as in the interactions.
        item_ids: what to explain.
        dataset: the run's, for the pictures.
        baseline: a name in BASELINES, the picture that stands for no information.
        steps: gradients a picture; more bring the attributions' sum closer to the difference of the scores.

    Raises:
        RunError: if the model does not learn from pixels.
        UnknownIdError: if the run does not know the user or an item.
        ConfigError: if there is no such baseline.
    """
    check_explained(run)
    check_choice("baseline", baseline, BASELINES)
    user, rows = int(run.user_indices([user_id])[0]), run.items.indices(item_ids)
    embed, taste = _embedder(run), run.tastes[user]
    explanations = []
    for item_id, picture in zip(item_ids, dataset.images.read(rows), strict=True):
        image = ops.convert_to_numpy(to_float(picture))
        ground = BASELINES[baseline](image)
        parts = integrated_gradients(lambda images: embed(images) @ taste[:, None], image, ground, steps=steps)
        looks = ops.convert_to_numpy(embed(np.stack([image, ground])))
        score, baseline_score = (looks @ taste).tolist()
        sources = _sources(run, user, looks[0])
        explanations.append(Explanation(item_id, picture, score, baseline_score, parts.sum(axis=2), sources))
    return explanations


def check_explained(run: Run) -> None:
    """Refuses a run whose scores do not come from pixels.

    Raises:
        RunError: for such a run.
    """
    if not run.model_class.uses_images:
        known = [name for name, kind in RECOMMENDERS.items() if kind.uses_images]
        raise RunError(
            f"RUN must be of a model that learns from pixels: {', '.join(known)}. "
            f"{run.path} is a {run.manifest.model} run. Train --model dvbpr."
        )


def _embedder(run: Run) -> Callable[[Any], Any]:
    """From float32 [N, H, W, 3] to what meets `run.tastes`, float32 [N, D], in inference mode."""
    model, factors = run.recommender, run.factors
    return lambda images: model.embed_scored_images(images, factors)


def _sources(run: Run, user: int, looks: npt.NDArray[np.float32]) -> list[TasteSource]:
    """θᵀΦ cut into the shares of the user's training items; θ = prior + scale · Σ φ_j / (n + κ)."""
    folding = run.folding
    if not folding.closed_items.shape[1]:
        return []
    liked = run.seen_items(user, Split.TRAIN)
    shares = folding.closed_items[liked] @ looks * folding.scale / max(len(liked) + folding.shrinkage, 1e-6)
    order = np.argsort(-shares, kind="stable")
    ids = run.items.item_ids
    return [TasteSource(ids[liked[number]], float(shares[number])) for number in order]
