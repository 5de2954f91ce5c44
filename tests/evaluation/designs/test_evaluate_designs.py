"""The paper's table, on the tiny runs of the checkerboard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from simulated_users import known_attributes
from tiny_data import Command

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, DatasetError, RunError
from tfdvbpr.evaluation.designs.baselines import (
    RANDOM_G,
    RANDOM_REAL,
    RETRIEVED,
    PreferenceScale,
    check_second_run,
    generate_designs,
    sample_requests,
)
from tfdvbpr.evaluation.designs.evaluate_designs import DesignEvaluation, DesignEvaluationOptions
from tfdvbpr.evaluation.generative.distances import frechet_distance
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun, Run

NAME = "colour-and-edges"  # the descriptor that needs no weights
OPTIONS = DesignEvaluationOptions(
    num_users=6,
    realism_weights=(0.0, 50.0),
    design=DesignOptions(num_candidates=4, num_starts=2, num_steps=4, learning_rate=0.2),
    extractor=NAME,
)


@pytest.fixture(scope="module")
def second(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first recommender again, in another folder: what it says must be what the first one says."""
    path = tmp_path_factory.mktemp("runs") / "second"
    shutil.copytree(tiny_run.path, path)
    return Run.open(path)


@pytest.fixture(scope="module")
def evaluated(
    tiny_run: Run,
    tiny_gan_run: GanRun,
    second: Run,
    checkerboard_dataset: PreparedDataset,
    small_classifier: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[DesignEvaluation, Path]:
    output = tmp_path_factory.mktemp("designs") / "out"
    evaluation = api.evaluate_designs(
        tiny_run, tiny_gan_run, output, second_run=second, dataset=checkerboard_dataset, options=OPTIONS, panel=12
    )
    return evaluation, output


@pytest.fixture(scope="module")
def designer(tiny_run: Run, tiny_gan_run: GanRun) -> Designer:
    return Designer(tiny_run, tiny_gan_run, options=OPTIONS.design)


def test_the_rows_of_the_table(evaluated: Any) -> None:
    labels = ["designs η=0", "designs η=50"]
    assert list(evaluated[0].rows) == [RANDOM_REAL, RANDOM_G, "best of 4 random G", RETRIEVED, *labels]
    assert len(evaluated[0].requests) == 12
    assert all(row.images.shape == (12, 32, 32, 3) for row in evaluated[0].images.values())


def test_metrics_are_those_of_the_images(
    evaluated: Any, tiny_run: Run, checkerboard_dataset: PreparedDataset, second: Run
) -> None:
    """Computed again from the images."""
    evaluation, _ = evaluated
    requests, images, row = evaluation.requests, evaluation.images[RANDOM_G].images, evaluation.rows[RANDOM_G]
    preferences = (embed_images(tiny_run, images) * tiny_run.visual_user_embeddings[requests.users]).sum(axis=1)
    assert row["preference"] == pytest.approx(preferences.mean(), abs=1e-5)
    standardised = []
    for user, name, value in zip(requests.users, requests.categories, preferences, strict=True):
        items = np.flatnonzero(np.array(tiny_run.items.table["category"]) == name)
        scores = tiny_run.visual_item_embeddings[items] @ tiny_run.visual_user_embeddings[user]
        standardised.append((value - scores.mean()) / scores.std())
    assert row["preference_standardised"] == pytest.approx(np.mean(standardised), rel=1e-3)
    assert row["second_preference_standardised"] == pytest.approx(row["preference_standardised"], rel=1e-4)
    extract = FEATURE_EXTRACTORS[NAME]
    real = extract(checkerboard_dataset.images.read(np.arange(16)))
    assert row[f"fid_{NAME}"] == pytest.approx(frechet_distance(real, extract(images)), rel=1e-6)


def test_the_retrieved_item_is_the_best_real_one(evaluated: Any) -> None:
    evaluation, _ = evaluated
    scale = PreferenceScale.of(evaluation.run, evaluation.requests)
    np.testing.assert_allclose(evaluation.images[RETRIEVED].preferences, scale.best, rtol=0.02, atol=0.02)
    assert (evaluation.images[RANDOM_REAL].preferences <= scale.best + 0.02).all()


def test_the_default_designs_are_those_of_the_nearest_weight(evaluated: Any) -> None:
    assert evaluated[0].default_designs == "designs η=0"


def test_the_worst_designs_are_shown(evaluated: Any) -> None:
    """Twelve designs of 32x32 in one row, the first the most ghostly."""
    evaluation, folder = evaluated
    ghostliness = evaluation.ghostliness["designs η=0"]
    assert ghostliness.shape == (12,)
    assert evaluation.rows["designs η=0"]["ghosts"] == pytest.approx((ghostliness > 1.0).mean())
    with Image.open(folder / "ghosts.png") as sheet:
        assert sheet.size[0] > 12 * 128


def test_an_ascent_raises_the_preference_more_than_selection(evaluated: Any) -> None:
    rows = evaluated[0].rows
    assert rows["designs η=0"]["preference"] > rows["best of 4 random G"]["preference"]
    assert rows["best of 4 random G"]["preference"] > rows[RANDOM_G]["preference"]
    assert rows["designs η=50"]["realism_penalty"] < rows["designs η=0"]["realism_penalty"]


def test_designs_are_tested_against_baselines(evaluated: Any) -> None:
    tests = evaluated[0].tests
    assert len(tests) == 2 * 3 * 2
    (won,) = (
        test
        for test in tests
        if (test["designs"], test["baseline"], test["recommender"]) == ("designs η=0", RANDOM_G, "second")
    )
    assert won["users"] == 6
    assert won["mean_difference"] > 0
    assert won["direction"] == 1
    assert won["p_value"] == pytest.approx(2 / 2**6)  # six users, all in favour
    ratio = evaluated[0].rows["designs η=0"][f"fid_{NAME}"] / evaluated[0].rows[RANDOM_G][f"fid_{NAME}"]
    assert won["fid_ratio"] == pytest.approx(ratio)


def test_the_folder(evaluated: Any) -> None:
    evaluation, output = evaluated
    assert pl.read_csv(output / "panel" / "key.csv").height == 12
    assert (output / "panel" / "panel.html").is_file()
    written = json.loads((output / "designs.json").read_text(encoding="utf-8"))
    assert written["rows"]["designs η=0"] == evaluation.rows["designs η=0"]
    assert written["options"]["realism_weights"] == [0.0, 50.0]
    assert pl.read_csv(output / "designs.csv").height == 6
    assert pl.read_csv(output / "tests.csv").height == 12
    text = (output / "designs.md").read_text(encoding="utf-8")
    assert "12 requests of 6 users" in text
    assert "| designs η=50 | " in text
    with Image.open(output / "designs.png") as grid:
        assert grid.width > 6 * 128


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--set", "num_steps=0", "num_steps"),
        ("--set", "num_starts=none", "num_starts"),
        ("--set", "learning_rate=nan", "learning_rate"),
        ("--set", "steps=3", "Nearest: 'num_steps'"),
        ("--realism-weights", "0,nan", "realism_weights"),
        ("--realism-weights", "much", "--realism-weights"),
    ],
)
def test_the_command_passes_its_options_on_and_refuses_wrong_ones(
    option: str,
    value: object,
    named: str,
    command: Command,
    tiny_run: Run,
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed = "tfdvbpr.evaluation.designs.evaluate_designs.compare_designs"
    monkeypatch.setattr(computed, lambda *given, **named: pytest.fail("was computed"))
    places = ("--gan", tiny_gan_run.path, "--output", tmp_path / "evaluated")
    code, _, complaint = command("evaluate-designs", tiny_run.path, *places, option, value)
    assert code == 2
    assert named in complaint
    assert not list(tmp_path.iterdir())


def test_an_interrupted_table_is_resumed(evaluated: Any, designer: Designer, tmp_path: Path) -> None:
    """A cached row is read and not generated: here other images have been put in its place."""
    evaluation, output = evaluated
    assert not output.with_name(f".{output.name}.designs").exists()  # removed at the end
    settings: dict[str, Any] = {
        "realism_weights": (0.0,),
        "seed": 0,
        "cache": tmp_path,
    }
    requests = evaluation.requests
    first = generate_designs(designer, requests, **settings)
    np.testing.assert_array_equal(first["designs η=0"], evaluation.images["designs η=0"].images)
    (file,) = tmp_path.iterdir()
    np.save(file, 255 - first["designs η=0"])
    again = generate_designs(designer, requests, progress=lambda *call: pytest.fail("generated"), **settings)
    np.testing.assert_array_equal(again["designs η=0"], 255 - first["designs η=0"])


def test_a_table_is_cached_block_by_block(
    evaluated: Any, designer: Designer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after the first of three blocks, it generates the other two and gets the same images."""
    monkeypatch.setattr("tfdvbpr.evaluation.designs.baselines._BLOCK", 4)
    settings: dict[str, Any] = {
        "realism_weights": (50.0,),
        "seed": 0,
    }

    def end(done: int, total: int) -> None:
        assert (done, total) == (4, 12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_designs(designer, evaluated[0].requests, **settings, cache=tmp_path, progress=end)
    assert len(list(tmp_path.iterdir())) == 1
    calls: list[tuple[int, int]] = []
    resumed = generate_designs(
        designer,
        evaluated[0].requests,
        **settings,
        cache=tmp_path,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(8, 12), (12, 12)]
    whole = generate_designs(designer, evaluated[0].requests, **settings)
    np.testing.assert_array_equal(resumed["designs η=50"], whole["designs η=50"])


def test_requests_are_in_the_categories_with_most_actions(tiny_run: Run) -> None:
    requests = sample_requests(tiny_run, {"shirt", "shoe"}, num_users=5, categories_per_user=1, min_items=2, seed=3)
    assert len(set(requests.users)) == 5
    users, items = tiny_run.interactions.of(Split.TRAIN)
    names = np.array(tiny_run.items.table["category"])
    for user, category in zip(requests.users, requests.categories, strict=True):
        bought = names[items[users == user]].tolist()
        assert bought.count(category) == max(bought.count(name) for name in ("shirt", "shoe"))
    only = sample_requests(tiny_run, {"shoe"}, num_users=9, categories_per_user=2, min_items=2, seed=3)
    assert set(only.categories) == {"shoe"}
    assert len(only) == 8  # all there are
    with pytest.raises(RunError, match="at least 99 items"):
        sample_requests(tiny_run, {"shoe"}, num_users=9, categories_per_user=2, min_items=99, seed=3)
    np.testing.assert_allclose(only.mean_by_user(np.arange(8.0)), np.arange(8.0)[np.argsort(only.users)])


def test_invalid_calls_are_refused(tiny_run: Run, tiny_gan_run: GanRun, second: Run) -> None:
    with pytest.raises(RunError, match="must be another run"):
        check_second_run(tiny_run, tiny_run)
    other = Run(second.path, second.manifest.model_copy(update={"dataset_fingerprint": "x"}))
    with pytest.raises(RunError, match=r"second_run` must be of the dataset"):
        check_second_run(tiny_run, other)
    with pytest.raises(ConfigError, match="must be a finite number"):
        DesignEvaluationOptions(realism_weights=(float("nan"),))
    with pytest.raises(ConfigError, match="`num_users` must be at least 2"):
        DesignEvaluationOptions(num_users=1)
    with pytest.raises(DatasetError, match="must be a synthetic one"):
        api.evaluate_attributes(tiny_run, tiny_gan_run, _truth_folder(tiny_run), dataset=tiny_gan_run.open_dataset())


def _truth_folder(run: Run) -> Path:
    folder = run.path.parent / "truth"
    folder.mkdir(exist_ok=True)
    known_attributes().write_parquet(folder / "truth.parquet")
    return folder
