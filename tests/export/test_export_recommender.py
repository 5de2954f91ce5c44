from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from export_helpers import Exported, loaded, with_factors
from PIL import Image
from tiny_data import RED, encoded, noisy_picture

from tfdvbpr.config import recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images import decoder, to_float
from tfdvbpr.errors import RunError
from tfdvbpr.models import LEARNS_FROM_PIXELS, RECOMMENDERS
from tfdvbpr.run import ITEMS_NAME, USERS_NAME, Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr.training.recommender_trainer import train_recommender
from tfdvbpr_export import export_recommender


def _recommended(run: Run, user: str, k: int, category: str, exclude_seen: bool) -> list[tuple[str, float]]:
    best = run.recommend(user, k=k, category=category or None, exclude_seen=exclude_seen)
    return [(one.item_id, one.score) for one in best]


def _assert_recommends_like(served: Exported, run: Run, *, ks: tuple[int, ...] = (1, 3, 99)) -> None:
    """Every user, category and flag, with different k, in one batch."""
    categories = ["", *run.manifest.categories]
    asked = [(u, c, e) for u in run.user_ids for c in categories for e in (True, False)]
    questions = [(user, ks[row % len(ks)], category, exclude) for row, (user, category, exclude) in enumerate(asked)]
    users, k, names, flags = zip(*questions, strict=True)
    answer = served("recommend", user_ids=users, k=k, categories=names, exclude_seen=flags)
    assert answer["known_users"].all()
    assert answer["known_categories"].all()
    assert answer["item_ids"].shape == (len(asked), min(max(ks), len(run.items)))
    for row, question in enumerate(questions):
        expected = _recommended(run, *question)
        item_ids = [value.decode() for value in answer["item_ids"][row]]
        scores = answer["scores"][row]
        count = len(expected)
        assert item_ids[:count] == [item for item, _ in expected], question
        np.testing.assert_allclose(scores[:count], [score for _, score in expected], rtol=1e-5, atol=1e-7)
        assert set(item_ids[count:]) <= {""}
        assert np.isneginf(scores[count:]).all()


def test_the_signatures_are_those_of_the_table(recommender: Exported) -> None:
    signatures = recommender.model.signatures
    assert set(signatures) == {"score", "recommend", "embed_images", "serving_default"}
    for name in ("score", "recommend", "embed_images"):
        inputs, outputs = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for described, found in ((SIGNATURES[name].inputs, inputs), (SIGNATURES[name].outputs, outputs)):
            assert {key: spec.dtype.name for key, spec in found.items()} == {k: d.dtype for k, d in described.items()}
            assert all(found[key].shape.is_compatible_with(described[key].shape) for key in found)
            assert {spec.shape[0] for spec in found.values()} == {None}
        assert {key: tuple(spec.shape) for key, spec in inputs.items()} == {
            key: tensor.shape for key, tensor in SIGNATURES[name].inputs.items()
        }


def test_serving_default_is_recommend(recommender: Exported, tiny_run: Run) -> None:
    question: dict[str, Any] = {"user_ids": ["u2"], "k": [4], "categories": [""], "exclude_seen": [True]}
    default, named = recommender("serving_default", **question), recommender("recommend", **question)
    np.testing.assert_array_equal(default["item_ids"], named["item_ids"])


def test_scores_are_the_runs(recommender: Exported, tiny_run: Run) -> None:
    items = tiny_run.items.item_ids
    answer = recommender("score", user_ids=tiny_run.user_ids, item_ids=[items] * len(tiny_run.user_ids))
    np.testing.assert_allclose(answer["scores"], tiny_run.score(tiny_run.user_ids, items), rtol=1e-5, atol=1e-7)
    assert answer["known_users"].all()
    assert answer["known_items"].all()


def test_recommendations_are_the_runs(recommender: Exported, tiny_run: Run) -> None:
    _assert_recommends_like(recommender, tiny_run)


@pytest.mark.parametrize("model", sorted(set(RECOMMENDERS) - {"dvbpr"}))
def test_every_model_is_served(checkerboard_dataset: PreparedDataset, tmp_path: Path, model: str) -> None:
    config = recommender_config(model, epochs=1, embedding_dim=4, factor_dim=2, global_batch_size=16)
    run = train_recommender(checkerboard_dataset, config, tmp_path / "run")
    served = loaded(export_recommender(run.path, tmp_path / "models"))
    of_pictures = {"embed_images"} if model in LEARNS_FROM_PIXELS else set()
    assert set(served.model.signatures) == {"score", "recommend", "serving_default"} | of_pictures
    scores = served("score", user_ids=["u1", "u0"], item_ids=[["i0", "i5"], ["i3", "i15"]])["scores"]
    expected = [run.score(["u1"], ["i0", "i5"])[0], run.score(["u0"], ["i3", "i15"])[0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)
    _assert_recommends_like(served, run)


def test_ties_stand_in_the_order_of_the_catalogue(tiny_run: Run, tmp_path: Path) -> None:
    """Whole numbers, so that every product is exact; each score comes several times."""
    generator = np.random.default_rng(0)
    items = generator.integers(-1, 2, (16, 4)).astype(np.float32)
    users = generator.integers(-1, 2, (8, 4)).astype(np.float32)
    run = with_factors(tiny_run, tmp_path / "run", item_embeddings=items, user_embeddings=users)
    scores = run.factors.scores(np.arange(8))
    assert all(len(set(row)) < 16 for row in scores)
    _assert_recommends_like(loaded(export_recommender(run.path, tmp_path / "models")), run, ks=(2, 5, 16))


def test_unknown_users_have_the_mean_taste(recommender: Exported, tiny_run: Run) -> None:
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
    assert np.isnan(scored["scores"][0]).tolist() == [False, True, True, False]
    assert scored["known_items"][0].tolist() == [True, False, False, True]
    ranked = recommender(
        "recommend", user_ids=["u0"] * 3, k=[2] * 3, categories=["hat", "shoe", ""], exclude_seen=[True] * 3
    )
    assert ranked["known_categories"].tolist() == [False, True, True]
    assert ranked["item_ids"][0].tolist() == [b"", b""]
    assert np.isneginf(ranked["scores"][0]).all()
    assert b"" not in ranked["item_ids"][1:]


def test_rows_do_not_know_of_each_other(recommender: Exported, tiny_run: Run) -> None:
    users = [*tiny_run.user_ids, "nobody"]
    together = recommender(
        "recommend", user_ids=users, k=[3] * 9, categories=["shoe", "", "hat"] * 3, exclude_seen=[True, False, True] * 3
    )
    for row, user in enumerate(users):
        category, exclude_seen = ("shoe", "", "hat")[row % 3], row % 3 != 1
        alone = recommender("recommend", user_ids=[user], k=[3], categories=[category], exclude_seen=[exclude_seen])
        np.testing.assert_array_equal(alone["item_ids"][0], together["item_ids"][row])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row], rtol=1e-6)


def test_no_rows_give_no_rows(recommender: Exported) -> None:
    assert recommender("recommend", user_ids=[], k=[], categories=[], exclude_seen=[])["item_ids"].shape == (0, 0)
    assert recommender("score", user_ids=[], item_ids=np.zeros((0, 2), object))["scores"].shape == (0, 2)
    assert recommender("embed_images", images=[])["embeddings"].shape == (0, 4)


def test_k_below_one_is_refused(recommender: Exported) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be 1 or more"):
        recommender("recommend", user_ids=["u0", "u1"], k=[3, 0], categories=["", ""], exclude_seen=[True, True])


def _file(width: int, height: int, kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def test_pictures_are_embedded_as_in_process(recommender: Exported, tiny_run: Run) -> None:
    files = [
        _file(32, 32, "JPEG"),
        _file(50, 21, "JPEG"),
        _file(17, 80, "PNG"),
        _file(64, 64, "PNG", mode="P"),
        _file(33, 31, "JPEG", mode="L"),
    ]
    decode = decoder(tiny_run.manifest.image_size, tiny_run.manifest.fit)
    pixels = np.stack([decode(file).numpy() for file in files])
    expected = tiny_run.recommender.embed_images(to_float(pixels), training=False).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-4  # the pictures do differ in Φ
    np.testing.assert_allclose(recommender("embed_images", images=files)["embeddings"], expected, rtol=1e-5, atol=1e-7)


def test_a_catalogue_picture_is_embedded_as_in_the_catalogue(
    recommender: Exported, tiny_run: Run, checkerboard_dataset: PreparedDataset
) -> None:
    files = [checkerboard_dataset.images.jpeg(item) for item in range(16)]
    embeddings = recommender("embed_images", images=files)["embeddings"]
    np.testing.assert_allclose(embeddings, tiny_run.factors.item_embeddings, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("broken", [b"", b"%PDF-1.7", encoded(noisy_picture(RED, (32, 32), 0))[:400]])
def test_broken_pictures_are_refused(recommender: Exported, broken: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        recommender("embed_images", images=[_file(32, 32, "JPEG"), broken])
    assert len(recommender("embed_images", images=[_file(32, 32, "JPEG")])["embeddings"]) == 1


def test_any_id_comes_through(tiny_run: Run, tmp_path: Path) -> None:
    """Line breaks, tabs, other alphabets: ids are bytes to the tables."""
    strange = ["a\nb", "a\r", "\t", "käse", "羽織", "☃", " x ", "0"]
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.path, folder)
    pl.DataFrame({"user_id": strange}).write_parquet(folder / USERS_NAME)
    items = pl.read_parquet(folder / ITEMS_NAME)
    items.with_columns(item_id=pl.Series([*strange, *(f"{name}!" for name in strange)])).write_parquet(
        folder / ITEMS_NAME
    )
    run = Run.open(folder)
    served = loaded(export_recommender(folder, tmp_path / "models"))
    answer = served("score", user_ids=strange, item_ids=[run.items.item_ids] * 8)
    np.testing.assert_allclose(answer["scores"], run.score(strange, run.items.item_ids), rtol=1e-5, atol=1e-7)
    _assert_recommends_like(served, run)


def test_a_diverged_run_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    items = tiny_run.factors.item_embeddings.copy()
    items[3, 1] = np.nan
    run = with_factors(tiny_run, tmp_path / "run", item_embeddings=items)
    with pytest.raises(RunError, match="`item_embeddings` must be finite"):
        export_recommender(run.path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_manifest_says_where_it_came_from(recommender: Exported, tiny_run: Run) -> None:
    text = (recommender.folder / "assets.extra" / "tfdvbpr.json").read_text()
    told = json.loads(text)
    assert told["signatures"] == ["recommend", "score", "embed_images"]
    assert told["run"]["model"] == "dvbpr"
    assert told["run"]["dataset_fingerprint"] == tiny_run.manifest.dataset_fingerprint
    assert (told["num_users"], told["num_items"], told["embedding_dim"]) == (8, 16, 4)
    assert told["categories"] == ["shirt", "shoe"]
    assert told["metrics"] == tiny_run.metrics
    assert str(tiny_run.path) not in text
