"""The paper's table and the check against known tastes, on the tiny runs of the checkerboard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from judging_truth import known_tastes
from PIL import Image
from tiny_data import Command

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, DatasetError, RunError
from tfdvbpr.evaluation.designs.baselines import RANDOM_G, RANDOM_REAL, RETRIEVED, design_arms, design_label
from tfdvbpr.evaluation.designs.evaluate_designs import DesignJudgement, DesignJudgingOptions
from tfdvbpr.evaluation.designs.requests import check_second, most_bought, over_users, standard_of
from tfdvbpr.evaluation.generative.category_classifier import ClassifierOptions
from tfdvbpr.evaluation.generative.frechet import frechet_distance
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun, Run

NAME = "colour-and-edges"  # the descriptor that needs no weights
OPTIONS = DesignJudgingOptions(
    num_users=6,
    realism_weights=(0.0, 50.0),
    least_items=4,
    design=DesignOptions(num_starts=2, num_steps=4, learning_rate=0.2),
    extractor=NAME,
    classifier=ClassifierOptions(min_photos=4, held_out=0.25, epochs=2),
)


@pytest.fixture(scope="module")
def second(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first recommender again, in another folder: what it says must be what the first one says."""
    path = tmp_path_factory.mktemp("runs") / "second"
    shutil.copytree(tiny_run.path, path)
    return Run.open(path)


@pytest.fixture(scope="module")
def judged(
    tiny_run: Run,
    tiny_gan_run: GanRun,
    second: Run,
    checkerboard_dataset: PreparedDataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[DesignJudgement, Path]:
    output = tmp_path_factory.mktemp("designs") / "out"
    judgement = api.evaluate_designs(
        tiny_run, tiny_gan_run, output, second_run=second, dataset=checkerboard_dataset, options=OPTIONS
    )
    return judgement, output


def test_the_rows_of_the_table(judged: Any) -> None:
    labels = ["designs η=0", "designs η=50"]
    assert list(judged[0].rows) == [RANDOM_REAL, RANDOM_G, "best of 2 random G", RETRIEVED, *labels]
    assert len(judged[0].requests) == 12
    assert all(arm.images.shape == (12, 32, 32, 3) for arm in judged[0].arms.values())


def test_figures_are_those_of_the_pictures(
    judged: Any, tiny_run: Run, checkerboard_dataset: PreparedDataset, second: Run
) -> None:
    """Computed here anew from the pictures."""
    judgement, _ = judged
    requests, arm, row = judgement.requests, judgement.arms[RANDOM_G], judgement.rows[RANDOM_G]
    worth = (embed_images(tiny_run, arm.images) * tiny_run.tastes[requests.users]).sum(axis=1)
    assert row["preference"] == pytest.approx(worth.mean(), abs=1e-5)
    standardised = []
    for user, name, value in zip(requests.users, requests.categories, worth, strict=True):
        items = np.flatnonzero(np.array(tiny_run.items.table["category"]) == name)
        scores = tiny_run.looks[items] @ tiny_run.tastes[user]
        standardised.append((value - scores.mean()) / scores.std())
    assert row["preference_standardised"] == pytest.approx(np.mean(standardised), rel=1e-3)
    assert row["second_preference_standardised"] == pytest.approx(row["preference_standardised"], rel=1e-4)
    extract = FEATURE_EXTRACTORS[NAME]
    real = extract(checkerboard_dataset.images.read(np.arange(16)))
    assert row[f"fid_{NAME}"] == pytest.approx(frechet_distance(real, extract(arm.images)), rel=1e-6)


def test_the_retrieved_item_is_the_best_real_one(judged: Any) -> None:
    judgement, _ = judged
    standard = standard_of(judgement.run, judgement.requests)
    np.testing.assert_allclose(judgement.arms[RETRIEVED].preferences, standard.best, rtol=0.02, atol=0.02)
    assert (judgement.arms[RANDOM_REAL].preferences <= standard.best + 0.02).all()


def test_an_ascent_is_liked_better_and_choosing_too(judged: Any) -> None:
    rows = judged[0].rows
    assert rows["designs η=0"]["preference"] > rows["best of 2 random G"]["preference"]
    assert rows["best of 2 random G"]["preference"] > rows[RANDOM_G]["preference"]
    assert rows["designs η=50"]["realism_penalty"] < rows["designs η=0"]["realism_penalty"]


def test_rivals(judged: Any) -> None:
    tests = judged[0].tests
    assert len(tests) == 3 * 3 * 2
    (won,) = (
        test
        for test in tests
        if (test["designs"], test["rival"], test["recommender"]) == ("designs η=0", RANDOM_G, "second")
    )
    assert won["users"] == 6
    assert won["mean_difference"] > 0
    assert won["direction"] == 1
    assert won["p_value"] == pytest.approx(2 / 2**6)  # six users, all in favour
    ratio = judged[0].rows["designs η=0"][f"fid_{NAME}"] / judged[0].rows[RANDOM_G][f"fid_{NAME}"]
    assert won["fid_ratio"] == pytest.approx(ratio)


def test_the_folder(judged: Any) -> None:
    judgement, output = judged
    told = json.loads((output / "designs.json").read_text(encoding="utf-8"))
    assert told["rows"]["designs η=0"] == judgement.rows["designs η=0"]
    assert told["options"]["realism_weights"] == [0.0, 50.0]
    assert pl.read_csv(output / "designs.csv").height == 7
    assert pl.read_csv(output / "tests.csv").height == 18
    text = (output / "designs.md").read_text(encoding="utf-8")
    assert "12 requests of 6 users" in text
    with Image.open(output / "designs.png") as sheet:
        assert sheet.width > 7 * 128


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--steps", 0, "num_steps"),
        ("--starts", 0, "--starts"),
        ("--learning-rate", "nan", "learning_rate"),
        ("--initial-stddev", 0, "initial_stddev"),
        ("--realism-weights", "0,nan", "realism_weights"),
        ("--realism-weights", "much", "--realism-weights"),
        ("--truth", "no source", "truth.parquet"),
    ],
)
def test_the_command_hands_on_its_options_and_refuses_wrong_ones(
    option: str,
    value: object,
    told: str,
    command: Command,
    tiny_run: Run,
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = "tfdvbpr.evaluation.designs.evaluate_designs.judge_designs"
    monkeypatch.setattr(judge, lambda *given, **named: pytest.fail("was computed"))
    places = ("--gan", tiny_gan_run.path, "--output", tmp_path / "judged")
    code, _, complaint = command("evaluate-designs", tiny_run.path, *places, option, value)
    assert code == 2
    assert told in complaint
    assert not list(tmp_path.iterdir())


def test_an_interrupted_table_is_taken_up(judged: Any, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    """A row that stands is read and not made: here another picture has been put in its place."""
    judgement, output = judged
    assert not output.with_name(f".{output.name}.designs").exists()  # removed at the end
    asked: dict[str, Any] = {
        "options": OPTIONS.design,
        "realism_weights": (0.0,),
        "seed": 0,
        "keep": tmp_path,
    }
    requests = judgement.requests
    first = design_arms(tiny_run, tiny_gan_run, requests, **asked)
    np.testing.assert_array_equal(first["designs η=0"], judgement.arms["designs η=0"].images)
    (file,) = tmp_path.iterdir()
    np.save(file, 255 - first["designs η=0"])
    told: list[str] = []
    again = design_arms(tiny_run, tiny_gan_run, requests, told=told.append, **asked)
    np.testing.assert_array_equal(again["designs η=0"], 255 - first["designs η=0"])
    assert not told


def test_a_table_is_kept_block_by_block(
    judged: Any, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after the first of three blocks, it makes the other two and comes to the same pictures."""
    monkeypatch.setattr("tfdvbpr.evaluation.designs.baselines._BLOCK", 4)
    asked: dict[str, Any] = {
        "options": OPTIONS.design,
        "realism_weights": (50.0,),
        "seed": 0,
    }

    def end(done: int, total: int) -> None:
        assert (done, total) == (4, 12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        design_arms(tiny_run, tiny_gan_run, judged[0].requests, **asked, keep=tmp_path, progress=end)
    assert len(list(tmp_path.iterdir())) == 1
    told: list[tuple[int, int]] = []
    taken_up = design_arms(
        tiny_run, tiny_gan_run, judged[0].requests, **asked, keep=tmp_path, progress=lambda *at: told.append(at)
    )
    assert told == [(8, 12), (12, 12)]
    whole = design_arms(tiny_run, tiny_gan_run, judged[0].requests, **asked)
    np.testing.assert_array_equal(taken_up["designs η=50"], whole["designs η=50"])


def test_requests_are_the_most_bought_categories(tiny_run: Run) -> None:
    requests = most_bought(tiny_run, {"shirt", "shoe"}, num_users=5, categories_per_user=1, least_items=2, seed=3)
    assert len(set(requests.users)) == 5
    users, items = tiny_run.interactions.of(Split.TRAIN)
    names = np.array(tiny_run.items.table["category"])
    for user, category in zip(requests.users, requests.categories, strict=True):
        bought = names[items[users == user]].tolist()
        assert bought.count(category) == max(bought.count(name) for name in ("shirt", "shoe"))
    only = most_bought(tiny_run, {"shoe"}, num_users=9, categories_per_user=2, least_items=2, seed=3)
    assert set(only.categories) == {"shoe"}
    assert len(only) == 8  # all there are
    with pytest.raises(RunError, match="at least 99 items"):
        most_bought(tiny_run, {"shoe"}, num_users=9, categories_per_user=2, least_items=99, seed=3)
    np.testing.assert_allclose(over_users(only, np.arange(8.0)), np.arange(8.0)[np.argsort(only.users)])


def test_what_is_refused(tiny_run: Run, tiny_gan_run: GanRun, second: Run) -> None:
    with pytest.raises(RunError, match="must be another run"):
        check_second(tiny_run, tiny_run)
    other = Run(second.path, second.manifest.model_copy(update={"dataset_fingerprint": "x"}))
    with pytest.raises(RunError, match=r"second_run` must be of the dataset"):
        check_second(tiny_run, other)
    with pytest.raises(ConfigError, match="must be a finite number"):
        DesignJudgingOptions(realism_weights=(float("nan"),))
    with pytest.raises(ConfigError, match="`num_users` must be at least 2"):
        DesignJudgingOptions(num_users=1)
    assert design_label(0.5) == "designs η=0.5"
    with pytest.raises(DatasetError, match="must be a synthetic one"):
        api.attributes_in_designs(tiny_run, tiny_gan_run, _truth_folder(tiny_run), dataset=tiny_gan_run.open_dataset())


def _truth_folder(run: Run) -> Path:
    folder = run.path.parent / "truth"
    folder.mkdir(exist_ok=True)
    known_tastes().write_parquet(folder / "truth.parquet")
    return folder
