from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from export_helpers import Exported

from tfdvbpr.config import recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.design.studio import Designer
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr.training.recommender_trainer import train_recommender
from tfdvbpr_export import export_designer

FIGURES = ("preferences", "realism_logits", "initial_preferences")
USERS, CATEGORIES, SEEDS = ["u0", "u5", "u5"], ["shirt", "shoe", "shirt"], [7, -(2**40), 0]


def _difference(first: np.ndarray, second: np.ndarray) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def test_the_signatures_are_those_of_the_table(served_designer: Exported) -> None:
    signatures = served_designer.model.signatures
    assert set(signatures) == {"design", "generate", "serving_default"}
    for name in ("design", "generate"):
        inputs, outputs = signatures[name].structured_input_signature[1], signatures[name].structured_outputs
        for described, found in ((SIGNATURES[name].inputs, inputs), (SIGNATURES[name].outputs, outputs)):
            assert {key: spec.dtype.name for key, spec in found.items()} == {k: d.dtype for k, d in described.items()}
            assert all(found[key].shape.is_compatible_with(described[key].shape) for key in found)
            assert {spec.shape[0] for spec in found.values()} == {None}
    assert signatures["design"].structured_outputs["images"].shape.as_list() == [None, 3, 32, 32, 3]


def test_designs_are_those_made_in_process(served_designer: Exported, designer: Designer) -> None:
    expected = designer.design(USERS, CATEGORIES, seeds=SEEDS)
    answer = served_designer("design", user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    assert answer["known_users"].all()
    assert answer["known_categories"].all()
    assert _difference(answer["images"], expected.images) <= 1
    for name in FIGURES:
        np.testing.assert_allclose(answer[name], getattr(expected, name), rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_ascent_climbs_and_seeds_matter(served_designer: Exported) -> None:
    """Guards the test above: pictures that are all alike would agree too."""
    answer = served_designer("design", user_ids=["u0"] * 2, categories=["shirt"] * 2, seeds=[1, 2])
    images = answer["images"].reshape(6, -1).astype(int)
    assert min(np.abs(images[i] - images[j]).max() for i in range(6) for j in range(i)) > 8
    moved = np.abs(answer["preferences"] - answer["initial_preferences"])
    assert (moved > 1e-6).all()
    value = answer["preferences"] - (answer["realism_logits"] - 1.0) ** 2  # η = 1, LSGAN
    assert (np.diff(value, axis=1) <= 1e-6).all()


def test_rows_do_not_know_of_each_other(served_designer: Exported) -> None:
    together = served_designer("design", user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    others = served_designer(
        "design", user_ids=["nobody", "u1", USERS[2]], categories=["shoe", "hat", CATEGORIES[2]], seeds=[1, 2, SEEDS[2]]
    )
    assert _difference(others["images"][2], together["images"][2]) <= 1
    for name in FIGURES:
        np.testing.assert_allclose(others[name][2], together[name][2], rtol=1e-5, atol=1e-7)


def test_a_row_alone_is_the_row_in_a_batch(served_designer: Exported) -> None:
    together = served_designer("design", user_ids=USERS, categories=CATEGORIES, seeds=SEEDS)
    pictures = served_designer("generate", categories=CATEGORIES, seeds=SEEDS)
    for row in range(3):
        alone = served_designer("design", user_ids=[USERS[row]], categories=[CATEGORIES[row]], seeds=[SEEDS[row]])
        # A batch of another size is added up in another order, and the ascent magnifies the last digit.
        apart = np.abs(alone["images"][0].astype(int) - together["images"][row].astype(int))
        assert apart.mean() < 0.1
        np.testing.assert_allclose(alone["preferences"][0], together["preferences"][row], rtol=1e-2, atol=1e-5)
        picture = served_designer("generate", categories=[CATEGORIES[row]], seeds=[SEEDS[row]])
        assert _difference(picture["images"][0], pictures["images"][row]) <= 1


def test_unknown_users_are_designed_for_with_the_mean_taste(served_designer: Exported, designer: Designer) -> None:
    mean = designer.run.tastes.mean(axis=0, dtype=np.float64).astype(np.float32)
    known = designer.run.tastes[5]
    expected = designer.design_for_tastes(np.stack([mean, known, mean]), CATEGORIES, seeds=SEEDS)
    answer = served_designer("design", user_ids=["nobody", "u5", "no one"], categories=CATEGORIES, seeds=SEEDS)
    assert answer["known_users"].tolist() == [False, True, False]
    assert _difference(answer["images"], expected.images) <= 1
    np.testing.assert_allclose(answer["preferences"], expected.preferences, rtol=1e-5, atol=1e-7)


def test_unknown_categories_are_blank(served_designer: Exported) -> None:
    answer = served_designer("design", user_ids=["u0", "u0"], categories=["hat", "shoe"], seeds=[3, 3])
    assert answer["known_categories"].tolist() == [False, True]
    assert not answer["images"][0].any()
    assert answer["images"][1].any()
    for name in FIGURES:
        assert np.isnan(answer[name]).all(axis=1).tolist() == [True, False]
    picture = served_designer("generate", categories=["shoe", "hat"], seeds=[3, 3])
    assert picture["known_categories"].tolist() == [True, False]
    assert picture["images"].any(axis=(1, 2, 3)).tolist() == [True, False]
    assert np.isnan(picture["realism_logits"]).tolist() == [False, True]


def test_generated_pictures_are_those_made_in_process(served_designer: Exported, designer: Designer) -> None:
    expected = designer.generate(CATEGORIES, seeds=SEEDS)
    answer = served_designer("generate", categories=CATEGORIES, seeds=SEEDS)
    assert _difference(answer["images"], expected) <= 1
    assert _difference(expected[0], expected[1]) > 8


def test_the_manifest_names_both_runs_and_the_options(served_designer: Exported, designer: Designer) -> None:
    told = json.loads((served_designer.folder / "assets.extra" / "tfdvbpr.json").read_text())
    assert told["signatures"] == ["design", "generate"]
    assert (told["run"]["model"], told["gan_run"]["model"]) == (
        designer.run.manifest.model,
        designer.gan_run.manifest.model,
    )
    assert told["options"]["num_starts"] == 3
    assert told["categories"] == ["shirt", "shoe"]


def test_only_dvbpr_designs(checkerboard_dataset: PreparedDataset, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")
    with pytest.raises(RunError, match="needs a dvbpr run"):
        export_designer(run.path, tiny_gan_run.path, tmp_path / "models")


def test_runs_may_not_change_places(tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must be a recommender run"):
        export_designer(tiny_gan_run.path, tiny_run.path, tmp_path / "models")
    with pytest.raises(ConfigError, match="version"):
        export_designer(tiny_run.path, tiny_gan_run.path, tmp_path / "models", version=0)
