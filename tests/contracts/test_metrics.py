"""What holds for every ranking metric and every generative metric, those of other distributions included."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.generative import metrics as generative
from tfdvbpr.evaluation.generative.distances import Estimate, frechet_distance
from tfdvbpr.evaluation.generative.features import FeatureSpace
from tfdvbpr.evaluation.generative.metrics import GenerativeMetric
from tfdvbpr.evaluation.generative.photos import ImageComparison, ImageSet
from tfdvbpr.evaluation.ranking import metrics as ranking
from tfdvbpr.evaluation.ranking.metrics import RankingMetric, Rankings
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.factors import Factors

K, NUM_ITEMS = 10, 40
# Worst values other than 0, and the values of a constant model.
WORST = {"mrr": 1 / NUM_ITEMS}
TIED = {
    "auc": 0.5,
    "auc_cold": 0.5,
    "recall@k": K / NUM_ITEMS,
    "hit_rate@k": K / NUM_ITEMS,
    "ndcg@k": (1 / np.log2(np.arange(K) + 2)).sum() / NUM_ITEMS,
    "map@k": (1 / np.arange(1, K + 1)).sum() / NUM_ITEMS,
    "mrr": (1 / np.arange(1, NUM_ITEMS + 1)).mean(),
    "legacy_sampled_auc": 0.0,  # strictly higher scores alone count
    "legacy_sampled_auc_cold": 0.0,
}


def _rankings(scores: np.ndarray) -> Rankings:
    """Two users with one held-out item each, item 3; all held-out items are cold."""
    held_out = np.full(2, 3, np.int32)
    interactions = Interactions(np.arange(2, dtype=np.int32), held_out, np.full(2, Split.TEST, np.uint8), 2, NUM_ITEMS)
    factors = Factors(
        np.tile(scores.astype(np.float32), (2, 1)), np.eye(NUM_ITEMS, dtype=np.float32), np.zeros(NUM_ITEMS, np.float32)
    )
    return Rankings(factors, interactions, Split.TEST, find_features=lambda: lambda items: np.eye(NUM_ITEMS)[items])


def _scores(held_out: float) -> np.ndarray:
    scores = np.arange(NUM_ITEMS) / NUM_ITEMS
    scores[3] = held_out
    return scores


@pytest.mark.parametrize("name", ranking.METRICS)
def test_a_ranking_metric_has_a_value_for_each_user_or_one_for_all(name: str) -> None:
    metric = ranking.METRICS[name]
    assert isinstance(metric, RankingMetric)
    assert metric.description
    assert metric.text(0.5)
    value = np.asarray(metric.compute(_rankings(_scores(0.5)), K))
    assert value.dtype == np.float64
    assert value.shape == ((2,) if metric.per_user else ())
    assert ranking.find_metric(name.replace("@k", f"@{K}"))[0] is metric


@pytest.mark.parametrize("name", [name for name, metric in ranking.METRICS.items() if metric.higher_is_better])
def test_the_best_and_the_worst_ranking_and_ties(name: str) -> None:
    metric = ranking.METRICS[name]
    if name.endswith("warm"):  # no held-out item is warm
        assert np.isnan(metric.compute(_rankings(_scores(9.0)), K)).all()
        return
    best, worst, tied = (
        metric.compute(_rankings(scores), K) for scores in (_scores(9), _scores(-9), np.zeros(NUM_ITEMS))
    )
    np.testing.assert_allclose(best, 1.0)
    np.testing.assert_allclose(worst, WORST.get(name, 0.0), atol=1e-12)
    if name in TIED:
        np.testing.assert_allclose(tied, TIED[name])


@pytest.mark.parametrize("name", [name for name, metric in ranking.METRICS.items() if metric.higher_is_better])
def test_a_user_who_has_acted_on_everything_else_has_the_best_ranking(name: str) -> None:
    """No candidate is left: the AUC is undecided, the held-out item is first elsewhere."""
    interactions = Interactions(
        np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.array([Split.TRAIN, Split.TEST], np.uint8), 1, 2
    )
    factors = Factors(np.array([[5, 0]], np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    value = ranking.METRICS[name].compute(Rankings(factors, interactions, Split.TEST), K)
    if "legacy" in name or name.endswith("warm"):
        assert np.isnan(value).all()
    else:
        np.testing.assert_allclose(value, 0.5 if name.startswith("auc") else 1.0)


NUM_IMAGES, SIDE = 16, 12


class _Classifier:
    """Classifies by brightness."""

    categories = ("dark", "bright")

    def logits(self, images: np.ndarray) -> np.ndarray:
        brightness = images.mean(axis=(1, 2, 3)) - 127.0
        return np.stack([-brightness, brightness], axis=1).astype(np.float32)


def _images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy dark and bright images, and their categories."""
    categories = np.tile(["dark", "bright"], NUM_IMAGES // 2)
    noise = np.random.default_rng(seed).integers(0, 60, (NUM_IMAGES, SIDE, SIDE, 3))
    return (noise + np.where(categories == "bright", 180, 0)[:, None, None, None]).astype(np.uint8), categories


def _features(images: np.ndarray) -> np.ndarray:
    return np.stack([images.mean(axis=(1, 2, 3)), images.std(axis=(1, 2, 3)), images[:, 0, 0, 0]], axis=1).astype(
        np.float32
    )


def _comparison(images: np.ndarray, categories: np.ndarray) -> ImageComparison:
    real, names = _images(0)
    rows = np.arange(NUM_IMAGES)
    photos: Any = SimpleNamespace(
        space=FeatureSpace("colour-and-edges", FEATURE_EXTRACTORS["colour-and-edges"]),
        features=_features(real),
        classifier=_Classifier(),
        sides=(rows[rows % 2 == 0], rows[rows % 2 == 1]),
        dataset=SimpleNamespace(images=SimpleNamespace(read=lambda wanted: real[wanted])),
    )
    generated = ImageSet(images, _features(images), categories, np.ones(len(images), bool))
    return ImageComparison(generated, photos, names)


def _number(value: Any) -> float:
    return value.mean if isinstance(value, Estimate) else float(value)


@pytest.mark.parametrize("name", generative.METRICS)
def test_a_generative_metric_is_a_number_and_prefers_photos_to_constant_images(name: str) -> None:
    metric = generative.METRICS[name]
    assert isinstance(metric, GenerativeMetric)
    assert metric.description
    assert metric.text(0.5)
    images, categories = _images(1)
    value = metric.compute(_comparison(images, categories))
    if value is None:
        assert name == "inception_score"  # this extractor has no classes
        return
    grey = np.full_like(images, 128)  # all of one class
    worst = metric.compute(_comparison(grey, categories))
    assert np.isfinite(_number(value))
    if metric.higher_is_better is not None:
        sign = 1 if metric.higher_is_better else -1
        assert sign * _number(value) > sign * _number(worst)
    if metric.by_category is not None:
        assert set(metric.by_category(_comparison(images, categories))) == {"dark", "bright"}


def test_overall_metrics_by_hand() -> None:
    images, categories = _images(1)
    found = generative.overall_metrics(_comparison(images, categories), samples=True)
    expected = frechet_distance(_features(_images(0)[0]), _features(images))
    assert found["fid_colour-and-edges"] == pytest.approx(expected)
    assert found["category_accuracy"] == found["category_accuracy_macro"] == 1.0
    # Of 10 splits, 6 have an image of each category, with a score of 2, and 4 have one image, with a score of 1.
    assert found["inception_score_category_classifier"] == pytest.approx(1.6)
    assert "kid_colour-and-edges_std" in found
    assert not any(name.startswith("inception_score_colour") for name in found)
    held_out = generative.overall_metrics(_comparison(images, categories))
    assert not any(name.startswith(("memorisation", "nearest")) for name in held_out)
    swapped = generative.overall_metrics(_comparison(images, np.roll(categories, 1)))
    assert swapped["category_accuracy"] == 0.0
    unknown = generative.overall_metrics(_comparison(images, np.full(NUM_IMAGES, "hat")))
    assert unknown["category_accuracy"] is unknown["ghosts"] is None
