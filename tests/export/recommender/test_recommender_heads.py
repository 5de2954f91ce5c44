from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_helpers import Answering, Exported, assert_recommends_like, image_file, unsaved, with_factors
from tiny_data import RunOf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder, to_float
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run import Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export import RecommenderOptions, ScannOptions

OF_RECOMMENDER = [name for name, signature in SIGNATURES.items() if signature.model == "recommender"]
OF_IMAGES = {name for name in OF_RECOMMENDER if SIGNATURES[name].takes_images}


def test_the_signatures_are_those_of_the_table(recommender: Exported) -> None:
    signatures = recommender.model.signatures
    assert set(signatures) == {*OF_RECOMMENDER, "serving_default"}
    for name in OF_RECOMMENDER:
        inputs, outputs = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for described, found in ((SIGNATURES[name].inputs, inputs), (SIGNATURES[name].outputs, outputs)):
            assert {key: spec.dtype.name for key, spec in found.items()} == {k: d.dtype for k, d in described.items()}
            assert all(found[key].shape.is_compatible_with(described[key].shape) for key in found)
            assert {spec.shape[0] for spec in found.values()} == {None}
        assert {key: tuple(spec.shape) for key, spec in inputs.items()} == {
            key: tensor.shape for key, tensor in SIGNATURES[name].inputs.items()
        }


def test_serving_default_is_recommend(recommender: Exported, tiny_run: Run) -> None:
    request: dict[str, Any] = {"user_ids": ["u2"], "k": [4], "categories": [""], "exclude_seen": [True]}
    default, named = recommender("serving_default", **request), recommender("recommend", **request)
    np.testing.assert_array_equal(default["item_ids"], named["item_ids"])


def test_scores_are_the_runs(recommender: Exported, tiny_run: Run) -> None:
    items = tiny_run.items.item_ids
    answer = recommender("score", user_ids=tiny_run.user_ids, item_ids=[items] * len(tiny_run.user_ids))
    np.testing.assert_allclose(answer["scores"], tiny_run.score(tiny_run.user_ids, items), rtol=1e-5, atol=1e-7)
    assert answer["known_users"].all()
    assert answer["known_items"].all()


def test_recommendations_are_the_runs(recommender: Exported, tiny_run: Run) -> None:
    assert_recommends_like(recommender, tiny_run)


@pytest.mark.parametrize("model", sorted(set(RECOMMENDERS) - {"dvbpr"}))
def test_every_model_is_served(run_of: RunOf, model: str) -> None:
    run = run_of(model)
    served = unsaved(run, traced=model == "hybrid-dvbpr")  # which folds in by a mean and by a fit
    without = set() if run.model_class.scores_images else OF_IMAGES
    assert set(served.module.signature_names) == set(OF_RECOMMENDER) - without
    scores = served("score", user_ids=["u1", "u0"], item_ids=[["i0", "i5"], ["i3", "i15"]])["scores"]
    expected = [run.score(["u1"], ["i0", "i5"])[0], run.score(["u0"], ["i3", "i15"])[0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)
    assert_recommends_like(served, run)
    _assert_folds_in_like(served, run)


def _assert_folds_in_like(served: Answering, run: Run) -> None:
    """New users who like a few items, some named twice, with padding, in one batch; and one who likes none."""
    liked = [["i2", "i4", "i2", "i9"], ["i7", "", "", ""], ["", "no such", "", ""], ["i0", "i1", "i3", ""]]
    answer = served("recommend_for_items", liked_item_ids=liked, k=[3, 16, 2, 5])
    assert answer["folded_in"].tolist() == [True, True, False, True]
    assert answer["known_liked_items"].sum() == 15
    for row, (items, k) in enumerate(zip(liked, (3, 16, 2, 5), strict=True)):
        known = [item for item in items if item in run.items.item_ids]
        expected = run.recommend_for(known, k=k)
        assert answer["counts"][row] == len(expected)
        scores = answer["scores"][row, : len(expected)]
        np.testing.assert_allclose(scores, [one.score for one in expected], rtol=1e-4, atol=1e-5)
        found = [item.decode() for item in answer["item_ids"][row, : len(expected)]]
        assert not {*found} & {*known}
        everything = dict(zip(run.items.item_ids, run.factors.scores_for(run.fold_in([known]))[0], strict=True))
        np.testing.assert_allclose([everything[item] for item in found], scores, rtol=1e-4, atol=1e-5)


def test_new_users_are_folded_in(recommender: Exported, tiny_run: Run) -> None:
    _assert_folds_in_like(recommender, tiny_run)
    kept = recommender("recommend_for_items", liked_item_ids=[["i2"]], k=[16], exclude_liked=[False])
    assert b"i2" in kept["item_ids"][0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 256 columns"):
        recommender("recommend_for_items", liked_item_ids=[["i2"] * 257])


def test_items_can_be_excluded(recommender: Exported, tiny_run: Run) -> None:
    everything = recommender("recommend", user_ids=["u3"], k=[16], exclude_seen=[False])["item_ids"][0].tolist()
    out = [everything[0], everything[3], b"no such"]
    answer = recommender("recommend", user_ids=["u3"], k=[16], exclude_item_ids=[[*out, b""]], exclude_seen=[False])
    assert answer["known_excluded_items"].tolist() == [[True, True, False, True]]
    left = [item for item in everything if item not in out]
    assert answer["item_ids"][0, : answer["counts"][0]].tolist() == left


def test_similarity_is_the_cosine_of_item_embeddings(recommender: Exported, tiny_run: Run) -> None:
    normalized = tiny_run.visual_item_embeddings / np.linalg.norm(
        tiny_run.visual_item_embeddings, axis=1, keepdims=True
    )
    items = tiny_run.items.item_ids
    answer = recommender("similar_items", query_item_ids=[*items, "no such"], k=[16] * 17)
    assert answer["known_items"].tolist() == [True] * 16 + [False]
    assert answer["counts"].tolist() == [15] * 16 + [0]
    cosines = normalized @ normalized.T
    for row, item in enumerate(items):
        found = [one.decode() for one in answer["item_ids"][row, :15]]
        assert sorted([*found, item]) == sorted(items)
        expected = [cosines[row, items.index(one)] for one in found]
        np.testing.assert_allclose(answer["similarities"][row, :15], expected, atol=1e-5)
        assert (np.diff(answer["similarities"][row, :15]) <= 0).all()
    shoes = recommender("similar_items", query_item_ids=["i0"], categories=["shoe"], k=[3])["item_ids"][0]
    assert {tiny_run.items.table["category"][items.index(one.decode())] for one in shoes} == {"shoe"}


def test_images_are_scored_and_compared_by_their_embeddings(
    recommender: Exported, tiny_run: Run, checkerboard_dataset: PreparedDataset
) -> None:
    files = [checkerboard_dataset.images.jpeg(item) for item in (0, 5)]
    scored = recommender("score_images", user_ids=["u1", "nobody"], image_bytes=files)
    np.testing.assert_allclose(scored["scores"][0], tiny_run.score(["u1"], ["i0"])[0, 0], rtol=1e-4, atol=1e-6)
    assert scored["known_users"].tolist() == [True, False]
    similar = recommender("similar_images", image_bytes=files, k=[2, 2])
    assert similar["item_ids"][:, 0].tolist() == [b"i0", b"i5"]
    np.testing.assert_allclose(similar["similarities"][:, 0], 1.0, atol=1e-5)


def test_k_is_cut_to_the_most(tiny_run: Run) -> None:
    served = unsaved(tiny_run, RecommenderOptions(max_k=3, quantize="int8"))
    answer = served("recommend", user_ids=["u0", "u1"], k=[2**31 - 1, 0])
    assert answer["item_ids"].shape == (2, 3)
    assert answer["counts"].tolist() == [3, 3]
    assert served.module.catalogue.about["recall"] > 0.9
    scored = served("score", user_ids=["u0"], item_ids=[tiny_run.items.item_ids])["scores"]
    np.testing.assert_allclose(scored, tiny_run.score(["u0"], tiny_run.items.item_ids), atol=2e-3)


@pytest.mark.parametrize("quantize", ["none", "bfloat16", "int8"])
@pytest.mark.parametrize("retrieval", ["brute-force", "scann"])
def test_every_index_gives_the_same_answers(run_of: RunOf, tmp_path: Path, retrieval: Any, quantize: Any) -> None:
    """A catalogue so small that ScaNN searches all of it; fewer bits are the same numbers where these are halves."""
    if retrieval == "scann":
        pytest.importorskip("scann")
    generator = np.random.default_rng(3)
    users = generator.standard_normal((8, 4)).astype(np.float32)
    items = generator.integers(-127, 128, (16, 4)).astype(np.float32) / 2
    items[:, 0] = 63.5  # every row of the same scale, ½
    if quantize == "bfloat16":
        items = np.round(items)
        items[:, 0] = 64
    biases = generator.permutation(16).astype(np.float32)
    # A run of VisRank folds in by plain means, of numbers that fewer bits hold.
    factors = {"user_embeddings": users, "item_embeddings": items, "item_biases": biases}
    run = with_factors(run_of("visrank"), tmp_path / "run", **factors)
    scann = ScannOptions(num_leaves=1, num_leaves_to_search=1)
    served = unsaved(run, RecommenderOptions(retrieval=retrieval, quantize=quantize, scann=scann))
    assert_recommends_like(served, run)
    _assert_folds_in_like(served, run)


def test_ties_keep_the_order_of_the_catalogue(tiny_run: Run, tmp_path: Path) -> None:
    """Whole numbers, so that every product is exact; each score comes several times."""
    generator = np.random.default_rng(0)
    items = generator.integers(-1, 2, (16, 4)).astype(np.float32)
    users = generator.integers(-1, 2, (8, 4)).astype(np.float32)
    run = with_factors(tiny_run, tmp_path / "run", item_embeddings=items, user_embeddings=users)
    scores = run.factors.scores(np.arange(8))
    assert all(len(set(row)) < 16 for row in scores)
    assert_recommends_like(unsaved(run), run, ks=(2, 5, 16))


def test_rows_are_independent(recommender: Exported, tiny_run: Run) -> None:
    users = [*tiny_run.user_ids, "nobody"]
    together = recommender(
        "recommend", user_ids=users, k=[3] * 9, categories=["shoe", "", "hat"] * 3, exclude_seen=[True, False, True] * 3
    )
    for row, user in enumerate(users):
        category, exclude_seen = ("shoe", "", "hat")[row % 3], row % 3 != 1
        alone = recommender("recommend", user_ids=[user], k=[3], categories=[category], exclude_seen=[exclude_seen])
        np.testing.assert_array_equal(alone["item_ids"][0], together["item_ids"][row])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row], rtol=1e-6)


def test_images_are_embedded_as_in_process(recommender: Exported, tiny_run: Run) -> None:
    files = [
        image_file(32, 32, "JPEG"),
        image_file(50, 21, "JPEG"),
        image_file(17, 80, "PNG"),
        image_file(64, 64, "PNG", mode="P"),
        image_file(33, 31, "JPEG", mode="L"),
    ]
    decode = decoder(tiny_run.manifest.image_size, tiny_run.manifest.fit)
    pixels = np.stack([decode(file).numpy() for file in files])
    expected = tiny_run.recommender.embed_images(to_float(pixels), training=False).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-4  # the images do differ in Φ
    np.testing.assert_allclose(
        recommender("embed_images", image_bytes=files)["embeddings"], expected, rtol=1e-5, atol=1e-7
    )


def test_a_catalogue_image_is_embedded_as_in_the_catalogue(
    recommender: Exported, tiny_run: Run, checkerboard_dataset: PreparedDataset
) -> None:
    files = [checkerboard_dataset.images.jpeg(item) for item in range(16)]
    embeddings = recommender("embed_images", image_bytes=files)["embeddings"]
    np.testing.assert_allclose(embeddings, tiny_run.factors.item_embeddings, rtol=1e-5, atol=1e-6)


def test_the_manifest_names_the_run(recommender: Exported, tiny_run: Run) -> None:
    text = (recommender.folder / "assets.extra" / "tfdvbpr.json").read_text()
    manifest = json.loads(text)
    assert next(iter(manifest["signatures"])) == "recommend"
    assert set(manifest["signatures"]) == set(OF_RECOMMENDER)
    assert manifest["retrieval"] == {"kind": "brute-force", "quantize": "none", "needs": []}
    files = recommender.folder.rglob("*")
    on_disk = {path.relative_to(recommender.folder).as_posix(): path.stat().st_size for path in files if path.is_file()}
    assert manifest["files"] == {name: size for name, size in on_disk.items() if not name.endswith("tfdvbpr.json")}
    assert manifest["run"]["model"] == "dvbpr"
    assert manifest["run"]["dataset_fingerprint"] == tiny_run.manifest.dataset_fingerprint
    assert (manifest["num_users"], manifest["num_items"], manifest["embedding_dim"]) == (8, 16, 4)
    assert manifest["categories"] == ["shirt", "shoe"]
    assert manifest["metrics"] == tiny_run.metrics
    assert str(tiny_run.path) not in text
