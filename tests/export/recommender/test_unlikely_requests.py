"""An exported recommender's answers to unlikely requests: unknown ids, no rows, broken images, odd numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_helpers import Exported, image_file, with_factors
from tiny_data import RED, encoded, huge_png, noisy_picture

from tfdvbpr.errors import RunError
from tfdvbpr.run import Run
from tfdvbpr_export import export_recommender


@pytest.mark.parametrize("inputs", [{"user_ids": ["u0", "u1"], "k": [1]}, {"user_ids": ["u0"], "k": []}])
def test_uneven_rows_are_refused(recommender: Exported, inputs: dict[str, Any]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many rows each"):
        recommender("recommend", **inputs)


def test_a_decompression_bomb_is_refused_undecoded(recommender: Exported) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 50000000 pixels"):
        recommender("embed_images", image_bytes=[huge_png(20_000)])


def test_unknown_users_get_the_mean_user_embedding(recommender: Exported, tiny_run: Run) -> None:
    factors = tiny_run.factors
    expected = factors.user_embeddings.mean(axis=0) @ factors.item_embeddings.T + factors.item_biases
    scored = recommender("score", user_ids=["nobody", "u3"], item_ids=[tiny_run.items.item_ids] * 2)
    np.testing.assert_allclose(scored["scores"][0], expected, rtol=1e-5, atol=1e-7)
    assert scored["known_users"].tolist() == [False, True]
    ranked = recommender("recommend", user_ids=["nobody"], k=[16], categories=[""], exclude_seen=[True])
    assert ranked["known_users"].tolist() == [False]
    np.testing.assert_allclose(ranked["scores"][0], np.sort(expected)[::-1], rtol=1e-5, atol=1e-7)
    assert len(set(ranked["item_ids"][0])) == 16


def test_unknown_items_and_categories(recommender: Exported) -> None:
    scored = recommender("score", user_ids=["u0"], item_ids=[["i3", "no such", "", "i4"]])
    assert np.isneginf(scored["scores"][0]).tolist() == [False, True, True, False]
    assert scored["known_items"][0].tolist() == [True, False, False, True]
    ranked = recommender(
        "recommend", user_ids=["u0"] * 3, k=[2] * 3, categories=["hat", "shoe", ""], exclude_seen=[True] * 3
    )
    assert ranked["known_categories"].tolist() == [False, True, True]
    assert ranked["item_ids"][0].tolist() == [b"", b""]
    assert np.isneginf(ranked["scores"][0]).all()
    assert b"" not in ranked["item_ids"][1:]


def test_no_rows_give_no_rows(recommender: Exported) -> None:
    assert recommender("recommend", user_ids=[], k=[], categories=[], exclude_seen=[])["item_ids"].shape == (0, 0)
    assert recommender("score", user_ids=[], item_ids=np.zeros((0, 2), object))["scores"].shape == (0, 2)
    assert recommender("embed_images", image_bytes=[])["embeddings"].shape == (0, 4)
    assert recommender("similar_images", image_bytes=[])["item_ids"].shape == (0, 0)
    no_rows = np.zeros((0, 3), object)
    assert recommender("recommend_for_items", liked_item_ids=no_rows)["item_ids"].shape == (0, 0)


def test_k_below_zero_is_refused_and_zero_is_the_default(recommender: Exported) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be 0"):
        recommender("recommend", user_ids=["u0", "u1"], k=[3, -1])
    answer = recommender("recommend", user_ids=["u0"], exclude_seen=[False])
    assert answer["counts"].tolist() == [10]


@pytest.mark.parametrize("broken", [b"", b"%PDF-1.7", encoded(noisy_picture(RED, (32, 32), 0))[:400]])
def test_broken_images_are_refused(recommender: Exported, broken: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        recommender("embed_images", image_bytes=[image_file(32, 32, "JPEG"), broken])
    assert len(recommender("embed_images", image_bytes=[image_file(32, 32, "JPEG")])["embeddings"]) == 1


def test_a_diverged_run_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    items = tiny_run.factors.item_embeddings.copy()
    items[3, 1] = np.nan
    run = with_factors(tiny_run, tmp_path / "run", item_embeddings=items)
    with pytest.raises(RunError, match="`item_embeddings` must be finite"):
        export_recommender(run.path, tmp_path / "models")
    assert not (tmp_path / "models").exists()
