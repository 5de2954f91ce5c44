from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_helpers import OPTIONS, TAILORING, Exported, Unsaved, difference
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr.training.recommender.train import train_recommender
from tfdvbpr_export import export_designer, read_manifest
from tfdvbpr_export.designer.heads import ServedDesigner
from tfdvbpr_export.options import MAX_LIKED_ITEMS

FIGURES = ("preferences", "realism_logits", "initial_preferences")
USERS, CATEGORIES, SEEDS = ["u0", "u5", "u5"], ["shirt", "shoe", "shirt"], [7, -(2**40), 0]


def _pixels(files: np.ndarray) -> np.ndarray:
    """uint8 [..., H, W, 3] of PNG files; black where there is none."""
    images = [
        np.asarray(Image.open(io.BytesIO(file))) if file else np.zeros((32, 32, 3), np.uint8) for file in files.ravel()
    ]
    return np.stack(images).reshape(*files.shape, 32, 32, 3)


def _designed(served: Exported, **inputs: Any) -> dict[str, Any]:
    answer = served("design", **inputs)
    return {**answer, "images": _pixels(answer["image_bytes"])}


def _generated(served: Exported, **inputs: Any) -> dict[str, Any]:
    answer = served("generate", **inputs)
    return {**answer, "images": _pixels(answer["image_bytes"])}


def test_the_signatures_are_those_of_the_table(served_designer: Exported) -> None:
    signatures = served_designer.model.signatures
    assert set(signatures) == {"design", "tailor", "generate", "serving_default"}
    for name in ("design", "tailor", "generate"):
        inputs, outputs = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for described, found in ((SIGNATURES[name].inputs, inputs), (SIGNATURES[name].outputs, outputs)):
            assert {key: spec.dtype.name for key, spec in found.items()} == {k: d.dtype for k, d in described.items()}
            assert all(found[key].shape.is_compatible_with(described[key].shape) for key in found)
            assert {spec.shape[0] for spec in found.values()} == {None}


def test_designs_are_those_made_in_process(served_designer: Exported, designer: Designer) -> None:
    expected = designer.design(USERS, CATEGORIES, seeds=SEEDS)
    answer = _designed(served_designer, user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    assert answer["known_users"].all()
    assert answer["known_categories"].all()
    assert difference(answer["images"], expected.images) <= 1
    for name in FIGURES:
        np.testing.assert_allclose(answer[name], getattr(expected, name), rtol=1e-5, atol=1e-7, err_msg=name)


def test_designs_toward_items_are_those_made_in_process(served_designer: Exported, designer: Designer) -> None:
    """The second row names no item that is known, so it is a plain design."""
    more, less = [["i3", "lost", "i3"], ["lost", "", ""]], [["i2"], [""]]
    answer = _designed(
        served_designer,
        user_ids=["u0", "u0"],
        categories=["shirt", "shirt"],
        more_like_item_ids=more,
        less_like_item_ids=less,
        seeds=[7, 7],
    )
    assert answer["known_more_like_items"].tolist() == [[True, False, True], [False, True, True]]
    assert answer["known_less_like_items"].all()
    audience = Audience.user("u0").toward(more_like=["i3", "i3"], less_like=["i2"])
    designs = designer.design_for(audience, "shirt", seed=7), designer.design(["u0"], ["shirt"], seeds=[7])
    for row, expected in enumerate(designs):
        # Means and deviations over the category come from moments here, and from its items in the process.
        np.testing.assert_allclose(answer["preferences"][row], expected.preferences[0], rtol=1e-2, atol=1e-3)
        apart = np.abs(answer["images"][row].astype(int) - expected.images[0].astype(int))
        assert apart.max() <= 1 or (row == 0 and apart.mean() < 0.1)
    assert difference(answer["images"][0], answer["images"][1]) > 8


def test_too_many_items_toward(served_designer: Exported) -> None:
    many = [["i1"] * (MAX_LIKED_ITEMS + 1)]
    for side in ("more", "less"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{side}_like_item_ids` must have at most"):
            served_designer("design", user_ids=["u0"], categories=["shirt"], **{f"{side}_like_item_ids": many})


def test_preferences_rise_and_seeds_matter(served_designer: Exported) -> None:
    """Guards the test above: images that are all the same would agree too."""
    answer = _designed(served_designer, user_ids=["u0"] * 2, categories=["shirt"] * 2, seeds=[1, 2])
    images = answer["images"].reshape(2, 3, -1).astype(int)
    for one in images:
        assert min(np.abs(one[i] - one[j]).max() for i in range(3) for j in range(i)) > 8
    # Some of their starts may be the same candidates.
    assert max(np.abs(images[0] - image).max(axis=1).min() for image in images[1]) > 8
    moved = np.abs(answer["preferences"] - answer["initial_preferences"])
    assert (moved > 1e-6).all()
    value = answer["preferences"] - OPTIONS.realism_weight * (answer["realism_logits"] - 1.0) ** 2  # LSGAN
    assert (np.diff(value, axis=1) <= 1e-6).all()


def test_rows_are_independent(served_designer: Exported) -> None:
    together = _designed(served_designer, user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    others = _designed(
        served_designer,
        user_ids=["nobody", "u1", USERS[2]],
        categories=["shoe", "hat", CATEGORIES[2]],
        seeds=[1, 2, SEEDS[2]],
    )
    assert difference(others["images"][2], together["images"][2]) <= 1
    for name in FIGURES:
        np.testing.assert_allclose(others[name][2], together[name][2], rtol=1e-5, atol=1e-7)


def test_a_row_alone_is_the_row_in_a_batch(served_designer: Exported) -> None:
    together = _designed(served_designer, user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    generated = _generated(served_designer, categories=CATEGORIES, seeds=SEEDS)
    for row in range(3):
        alone = _designed(served_designer, user_ids=[USERS[row]], categories=[CATEGORIES[row]], seeds=[SEEDS[row]])
        # A batch of another size is summed in another order, and gradient ascent magnifies the last digit.
        apart = np.abs(alone["images"][0].astype(int) - together["images"][row].astype(int))
        assert apart.mean() < 0.1
        np.testing.assert_allclose(alone["preferences"][0], together["preferences"][row], rtol=1e-2, atol=1e-5)
        image = _generated(served_designer, categories=[CATEGORIES[row]], seeds=[SEEDS[row]])
        assert difference(image["images"][0], generated["images"][row]) <= 1


def test_unknown_users_get_the_mean_user_embedding(served_designer: Exported, designer: Designer) -> None:
    mean = designer.run.visual_user_embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    known = designer.run.visual_user_embeddings[5]
    expected = designer.design_for_embeddings(np.stack([mean, known, mean]), CATEGORIES, seeds=SEEDS)
    answer = _designed(served_designer, user_ids=["nobody", "u5", "no one"], categories=CATEGORIES, seeds=SEEDS)
    assert answer["known_users"].tolist() == [False, True, False]
    assert difference(answer["images"], expected.images) <= 1
    np.testing.assert_allclose(answer["preferences"], expected.preferences, rtol=1e-5, atol=1e-7)


def test_unknown_categories_are_blank(served_designer: Exported) -> None:
    answer = _designed(served_designer, user_ids=["u0", "u0"], categories=["hat", "shoe"], seeds=[3, 3])
    assert answer["known_categories"].tolist() == [False, True]
    assert not answer["images"][0].any()
    assert answer["images"][1].any()
    for name in FIGURES:
        assert np.isnan(answer[name]).all(axis=1).tolist() == [True, False]
    image = _generated(served_designer, categories=["shoe", "hat"], seeds=[3, 3])
    assert image["known_categories"].tolist() == [True, False]
    assert image["images"].any(axis=(1, 2, 3)).tolist() == [True, False]
    assert np.isnan(image["realism_logits"]).tolist() == [False, True]


def test_nothing_is_computed_for_unknown_categories_alone(served_designer: Exported) -> None:
    answer = served_designer("design", user_ids=["u0"] * 2, categories=["hat", ""], num_steps=[2, 2])
    assert (answer["image_bytes"].shape, answer["nearest_item_ids"].shape) == ((2, 0), (2, 0, 3))
    assert (answer["counts"].tolist(), answer["steps"].tolist()) == ([0, 0], [0, 0])
    blank = served_designer("tailor", image_bytes=[b"no image"], user_ids=["u0"], categories=["hat"])  # not decoded
    assert blank["image_bytes"].tolist() == [b""]


def test_categories_that_the_gan_was_not_trained_on(tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    """One that was left out is unknown; one that was merged is generated as the other."""
    for trained_as, known in ((None, False), ("shirt", True)):
        folder = tmp_path / str(trained_as)
        shutil.copytree(tiny_gan_run.path, folder)
        facts = json.loads((folder / "gan.json").read_text())
        facts["categories"]["shoe"]["trained_as"] = trained_as
        (folder / "gan.json").write_text(json.dumps(facts))
        designer = Designer(tiny_run, GanRun.open(folder))
        module = ServedDesigner(designer, Tailor(designer), max_steps=2)
        answer = module.generate.python_function(tf.constant(["shoe", "shirt"]), tf.constant([3, 3], tf.int64))
        assert answer["known_categories"].numpy().tolist() == [known, True]
        files = answer["image_bytes"].numpy().tolist()
        assert files[0] == (files[1] if known else b"")


def test_generated_images_are_those_made_in_process(served_designer: Exported, designer: Designer) -> None:
    expected = designer.generate(CATEGORIES, seeds=SEEDS)
    answer = _generated(served_designer, categories=CATEGORIES, seeds=SEEDS)
    assert difference(answer["images"], expected) <= 1
    assert difference(expected[0], expected[1]) > 8


def test_the_manifest_names_both_runs_and_the_options(served_designer: Exported, designer: Designer) -> None:
    manifest = read_manifest(served_designer.folder)
    assert list(manifest["signatures"]) == ["design", "tailor", "generate"]
    assert (manifest["run"]["model"], manifest["gan_run"]["model"]) == (
        designer.run.manifest.model,
        designer.gan_run.manifest.model,
    )
    assert manifest["options"]["num_starts"] == 3
    assert manifest["categories"] == ["shirt", "shoe"]


def test_only_dvbpr_designs(checkerboard_dataset: PreparedDataset, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")
    with pytest.raises(RunError, match="needs a dvbpr run"):
        export_designer(run.path, tiny_gan_run.path, tmp_path / "models")


def test_runs_of_the_wrong_kind(tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must be a recommender run"):
        export_designer(tiny_gan_run.path, tiny_run.path, tmp_path / "models")
    with pytest.raises(ConfigError, match="keep"):
        export_designer(tiny_run.path, tiny_gan_run.path, tmp_path / "models", keep=0)


def test_each_row_has_its_own_steps_number_weight_and_seed(served_designer: Exported, designer: Designer) -> None:
    """A loop that ran once, as some servers' loops did, would give every row the image of one step."""
    requests = [(1, 2, 0.0), (6, 3, 1.0), (25, 1, 4.0)]
    steps, numbers, weights = zip(*requests, strict=True)
    answer = _designed(
        served_designer,
        user_ids=["u1"] * 3,
        categories=["shoe"] * 3,
        seeds=[5] * 3,
        num_steps=steps,
        num_designs=numbers,
        realism_weights=weights,
    )
    assert answer["steps"].tolist() == [1, 6, 25]
    assert answer["counts"].tolist() == [2, 3, 1]
    for row, (num_steps, number, weight) in enumerate(requests):
        expected = designer.design(
            ["u1"], ["shoe"], seeds=[5], num_steps=num_steps, num_designs=number, realism_weight=weight
        )
        apart = np.abs(answer["images"][row, :number].astype(int) - expected.images[0].astype(int))
        assert apart.mean() < 0.1, requests[row]
        np.testing.assert_allclose(answer["preferences"][row, :number], expected.preferences[0], rtol=1e-2, atol=1e-5)
        assert answer["image_bytes"][row, number:].tolist() == [b""] * (3 - number)
        assert np.isnan(answer["preferences"][row, number:]).all()
    images = answer["images"][:, 0].astype(int)
    assert min(np.abs(images[one] - images[other]).max() for one, other in ((0, 1), (0, 2), (1, 2))) > 2


def test_steps_are_bounded(designer: Designer) -> None:
    module = ServedDesigner(designer, Tailor(designer, options=TAILORING), max_steps=9)
    answer = Unsaved(module)("design", categories=["shoe"], num_steps=[2**31 - 1])
    assert answer["steps"].tolist() == [9]


def test_numbers_are_checked(served_designer: Exported) -> None:
    assert served_designer("design", categories=["shoe"], num_steps=[2], num_designs=[99])["counts"].tolist() == [3]
    for wrong, match in (
        ({"num_steps": [-1]}, "`num_steps` must be 0"),
        ({"realism_weights": [np.nan]}, "`realism_weights` must be finite"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=match):
            served_designer("design", categories=["shoe"], **wrong)


def test_new_users_are_designed_for(served_designer: Exported, designer: Designer) -> None:
    liked = [["i1", "i3"], ["", ""]]
    answer = _designed(served_designer, liked_item_ids=liked, categories=["shoe"] * 2, seeds=[1, 2])
    assert answer["folded_in"].tolist() == [True, False]
    assert not answer["known_users"].any()
    mean = designer.run.visual_user_embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    folded = designer.run.fold_in([["i1", "i3"]])[0, : len(mean)]
    expected = designer.design_for_embeddings(np.stack([folded, mean]), ["shoe"] * 2, seeds=[1, 2])
    assert difference(answer["images"], expected.images) <= 1
    own = served_designer("design", user_ids=["u1"], liked_item_ids=[["i3"]], categories=["shoe"], num_steps=[1])
    assert (own["known_users"].tolist(), own["folded_in"].tolist()) == ([True], [False])


def test_nearest_items_are_those_nearest_in_phi(served_designer: Exported, designer: Designer) -> None:
    answer = _designed(served_designer, user_ids=["u0"], categories=["shoe"], seeds=[3])
    items = designer.run.items
    shoes = np.flatnonzero(items.category_ids == items.category_id("shoe"))
    for image, found in zip(answer["images"][0], answer["nearest_item_ids"][0], strict=True):
        embedding = embed_images(designer.run, image[None])[0]
        distances = np.linalg.norm(designer.run.visual_item_embeddings[shoes] - embedding, axis=1)
        rows = [np.flatnonzero(shoes == items.item_ids.index(item.decode()))[0] for item in found]
        np.testing.assert_allclose(distances[rows], np.sort(distances)[:3], rtol=1e-3, atol=1e-5)


def test_tailored_images_are_those_made_in_process(
    served_designer: Exported, designer: Designer, checkerboard_dataset: PreparedDataset
) -> None:
    files = [checkerboard_dataset.images.jpeg(item) for item in (2, 4)]
    pixels = checkerboard_dataset.images.read(np.array([2, 4]))
    expected = Tailor(designer, options=TAILORING).tailor(
        ["u0", "u1"], ["shoe", "shirt"], pixels, seeds=[8, 9], strengths=[2.0], keep=["colour", "cut"]
    )
    answer = served_designer(
        "tailor",
        image_bytes=files,
        user_ids=["u0", "u1"],
        categories=["shoe", "shirt"],
        strengths=[2.0, 2.0],
        keep=[["colour", "cut"], ["cut", "colour"]],
        seeds=[8, 9],
    )
    assert answer["steps"].tolist() == [4, 4]
    assert difference(_pixels(answer["inverted_image_bytes"]), expected.reconstructions) <= 1
    assert difference(_pixels(answer["image_bytes"]), expected.images[:, 0]) <= 1
    np.testing.assert_allclose(answer["preferences"], expected.preferences[:, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(answer["distances"], expected.distances[:, 0], rtol=1e-3, atol=1e-4)
    assert (np.abs(answer["preferences"] - answer["initial_preferences"]) > 1e-3).all()
    blank = served_designer("tailor", image_bytes=files[:1], user_ids=["u0"], categories=["hat"])
    assert blank["known_categories"].tolist() == [False]
    assert (blank["image_bytes"][0], blank["steps"][0]) == (b"", 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`keep` must be one of colour, cut"):
        served_designer(
            "tailor", image_bytes=files[:1], user_ids=["u0"], categories=["shoe"], keep=[["color"]], num_steps=[1]
        )


@pytest.mark.parametrize("max_steps", [0, 1_000_001])
def test_limits_of_steps(max_steps: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`max_steps` must lie in \[1, 1,000,000\]"):
        export_designer(tmp_path, tmp_path, tmp_path / "models", max_steps=max_steps)
