"""A loaded export, and runs with other factors."""

from __future__ import annotations

import io
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.run import Run
from tfdvbpr.run.folder import FACTORS_NAME
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export import RecommenderOptions
from tfdvbpr_export.recommender.heads import ServedRecommender
from tfdvbpr_export.requests import filled

OPTIONS = DesignOptions(num_candidates=8, num_starts=3, num_steps=6)
TAILORING = TailorOptions(num_candidates=6, num_starts=2, invert_steps=5, num_steps=4)


class Answering(ABC):
    """Has the functions of signatures."""

    @abstractmethod
    def function(self, signature: str) -> Any: ...

    def __call__(self, signature: str, **inputs: Any) -> dict[str, Any]:
        """The answer, with neutral values for what is not given."""
        name = "recommend" if signature == "serving_default" else signature
        specs = SIGNATURES[name].inputs
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in filled(name, **inputs).items()}
        for key, tensor in tensors.items():
            if tensor.shape.rank < len(specs[key].shape):  # no rows, written as []
                tensors[key] = tf.zeros((0,) * len(specs[key].shape), tensor.dtype)
        return {key: value.numpy() for key, value in self.function(signature)(**tensors).items()}


@dataclass(frozen=True)
class Exported(Answering):
    """A version folder, and the SavedModel in it as TensorFlow loads it."""

    folder: Path
    model: Any

    def function(self, signature: str) -> Any:
        return self.model.signatures[signature]


@dataclass(frozen=True)
class Unsaved(Answering):
    """A module before it is saved: for tests of answers, not of saving. Tracing takes seconds, so it runs eagerly."""

    module: Any
    traced: bool = False

    def function(self, signature: str) -> Any:
        function = getattr(self.module, signature)
        return function if self.traced else function.python_function


def unsaved(run: Run, options: RecommenderOptions | None = None, *, traced: bool = False) -> Unsaved:
    return Unsaved(ServedRecommender(run, options or RecommenderOptions()), traced)


def loaded(folder: Path) -> Exported:
    return Exported(folder, tf.saved_model.load(str(folder)))


def with_factors(run: Run, folder: Path, **arrays: Any) -> Run:
    """A copy of a run with other factors."""
    shutil.copytree(run.path, folder)
    factors = run.factors
    kept = {name: getattr(factors, name) for name in ("user_embeddings", "item_embeddings", "item_biases")}
    np.savez(folder / FACTORS_NAME, **{**kept, **arrays})
    return Run.open(folder)


def _recommended(run: Run, user: str, k: int, category: str, exclude_seen: bool) -> list[tuple[str, float]]:
    best = run.recommend(user, k=k, category=category or None, exclude_seen=exclude_seen)
    return [(one.item_id, one.score) for one in best]


def _assert_same_order(run: Run, item_ids: list[str], expected: list[tuple[str, float]], request: Any) -> None:
    """Items may change places where only their scores are equal; those that share an embedding keep their order."""
    assert len(set(item_ids)) == len(item_ids) == len(expected), request
    group_of = dict(zip(run.items.item_ids, run.factors.distinct_items.group_of, strict=True))
    score_of = dict(_recommended(run, request[0], len(run.items), *request[2:]))
    for item, (wanted, score) in zip(item_ids, expected, strict=True):
        swapped = group_of[item] != group_of[wanted] and np.isclose(score_of[item], score, rtol=1e-5, atol=1e-7)
        assert item == wanted or swapped, request


def assert_recommends_like(served: Answering, run: Run, *, ks: tuple[int, ...] = (1, 3, 99)) -> None:
    """Every user, category and flag, with different k, in one batch."""
    categories = ["", *run.manifest.categories]
    rows = [(u, c, e) for u in run.user_ids for c in categories for e in (True, False)]
    requests = [(user, ks[row % len(ks)], category, exclude) for row, (user, category, exclude) in enumerate(rows)]
    users, k, names, flags = zip(*requests, strict=True)
    answer = served("recommend", user_ids=users, k=k, categories=names, exclude_seen=flags)
    assert answer["known_users"].all()
    assert answer["known_categories"].all()
    assert answer["item_ids"].shape == (len(rows), min(max(ks), len(run.items)))
    for row, request in enumerate(requests):
        expected = _recommended(run, *request)
        item_ids = [value.decode() for value in answer["item_ids"][row]]
        scores = answer["scores"][row]
        count = len(expected)
        _assert_same_order(run, item_ids[:count], expected, request)
        np.testing.assert_allclose(scores[:count], [score for _, score in expected], rtol=1e-5, atol=1e-7)
        assert set(item_ids[count:]) <= {""}
        assert np.isneginf(scores[count:]).all()


def image_file(width: int, height: int, kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def difference(first: np.ndarray, second: np.ndarray) -> int:
    """The largest difference of two uint8 images or batches of them."""
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())
