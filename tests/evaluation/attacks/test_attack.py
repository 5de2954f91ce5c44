"""Attacks: no pixel farther than ε, items rise in real lists, and every figure is that of the images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from PIL import Image
from tiny_data import Command, RunOf

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.errors import ConfigError, RunError, UnknownIdError
from tfdvbpr.evaluation.attacks.attack import (
    AS_IS,
    ATTACKED,
    CLEAN,
    NOISE,
    RUN,
    SECOND,
    AttackEvaluation,
    AttackOptions,
    psnr,
    sampled_items,
)
from tfdvbpr.evaluation.attacks.defences import DEFENCES
from tfdvbpr.evaluation.attacks.exposure import ItemRanks
from tfdvbpr.evaluation.attacks.goals import GOALS, Target
from tfdvbpr.evaluation.attacks.perturbations import ATTACKS, gradients, perturbed
from tfdvbpr.run import Run

EPSILON = 8 / 255
OPTIONS = AttackOptions(epsilon=EPSILON, k=3)


@pytest.fixture(scope="module")
def attacked(tiny_run: Run, run_of: RunOf, tmp_path_factory: pytest.TempPathFactory) -> tuple[AttackEvaluation, Path]:
    output = tmp_path_factory.mktemp("attack") / "attacked"
    return api.attack(tiny_run, output, sample=16, options=OPTIONS, second_run=run_of("hybrid-dvbpr")), output


def test_no_pixel_goes_farther_than_epsilon(attacked: tuple[AttackEvaluation, Path]) -> None:
    evaluation, _ = attacked
    change = np.abs(evaluation.after.astype(int) - evaluation.before).reshape(16, -1)
    assert change.max() == 8
    assert (change.mean(axis=1) > 1).all()
    assert evaluation.items["largest_change"].max() == 8


def test_attacked_items_rise_more_than_noisy_ones(attacked: tuple[AttackEvaluation, Path]) -> None:
    exposures = attacked[0].exposures
    photo, noise, after = (exposures[RUN, AS_IS, kind].mean_rank.mean() for kind in (CLEAN, NOISE, ATTACKED))
    assert after < min(photo, noise) - 1.0
    hits = [exposures[RUN, AS_IS, kind].hit_rate.mean() for kind in (CLEAN, ATTACKED)]
    assert hits[1] > hits[0]


def test_ranks_are_those_of_lists_that_are_sorted_whole(tiny_run: Run, checkerboard_dataset: PreparedDataset) -> None:
    """Against a plain loop: one user, one item at a time, the item's own embedding replaced."""
    items, users = np.array([0, 5, 9], np.int32), np.arange(8, dtype=np.int32)
    images = 255 - checkerboard_dataset.images.read(items)
    visual = embed_images(tiny_run, images)
    found = ItemRanks(tiny_run, items, users, k=3).exposure(visual)
    acted = tiny_run.interactions.matrix(*Split).toarray() > 0
    for number, item in enumerate(items):
        ranks = []
        for user in users[~acted[:, item]]:
            scores = tiny_run.factors.item_embeddings @ tiny_run.factors.user_embeddings[user]
            own = visual[number] @ tiny_run.factors.user_embeddings[user]
            others = np.delete(scores, item)[~np.delete(acted[user], item)]
            ranks.append(1 + (others > own).sum() + (others == own).sum() / 2)
        assert found.mean_rank[number] == pytest.approx(np.mean(ranks))
        assert found.hit_rate[number] == pytest.approx(np.mean(np.array(ranks) <= 3))


def test_an_unchanged_photo_has_the_rank_of_the_run(tiny_run: Run, checkerboard_dataset: PreparedDataset) -> None:
    items, users = np.arange(16, dtype=np.int32), np.arange(8, dtype=np.int32)
    ranks = ItemRanks(tiny_run, items, users, k=3)
    again = ranks.exposure(embed_images(tiny_run, checkerboard_dataset.images.read(items)))
    np.testing.assert_allclose(ranks.exposure(tiny_run.visual_item_embeddings).mean_rank, again.mean_rank, atol=0.51)


def test_an_item_that_every_user_acted_on_has_no_rank(tiny_run: Run) -> None:
    item = np.array([2], np.int32)
    acted = np.flatnonzero(tiny_run.interactions.matrix(*Split).toarray()[:, 2] > 0).astype(np.int32)
    found = ItemRanks(tiny_run, item, acted).exposure(tiny_run.visual_item_embeddings[item])
    assert len(acted)
    assert np.isnan(found.mean_rank[0])
    assert np.isnan(found.hit_rate[0])


def test_thresholds_are_the_kth_best_candidates(tiny_run: Run) -> None:
    users = np.arange(8, dtype=np.int32)
    thresholds, deviations = ItemRanks(tiny_run, users[:1], users, k=3).thresholds()
    scores = tiny_run.factors.scores(users)
    acted = tiny_run.interactions.matrix(*Split).toarray() > 0
    for user in users:
        assert thresholds[user] == np.sort(scores[user][~acted[user]])[::-1][:3].min()
    np.testing.assert_allclose(deviations, scores.std(axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_raises_a_known_function(name: str) -> None:
    """A linear goal: the best photo within ε is known, x + ε sign(w), cut to whole numbers and the range of a pixel."""
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (5, 6, 4, 3)).astype(np.uint8)
    weights = tf.constant(random.standard_normal((6, 4, 3)), tf.float32)
    goal = lambda images: tf.reduce_sum(images * weights, axis=(1, 2, 3))  # noqa: E731
    found = perturbed(photos, goal, attack=name, epsilon=4 / 255, seed=3, chunk_rows=2)
    best = (photos + 4 * np.sign(weights.numpy())).clip(0, 255)
    np.testing.assert_array_equal(found, best.astype(np.uint8))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_seed_gives_the_same_photos(name: str, tiny_run: Run, checkerboard_dataset: PreparedDataset) -> None:
    photos = checkerboard_dataset.images.read(np.arange(3, dtype=np.int32))
    goal = lambda images: tf.reduce_sum(tiny_run.recommender.embed_images(images), axis=1)  # noqa: E731
    first, second = (perturbed(photos, goal, attack=name, epsilon=4 / 255, seed=3, chunk_rows=2) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", GOALS)
def test_goals_grow_along_their_gradients(name: str, tiny_run: Run) -> None:
    users = np.arange(8, dtype=np.int32)
    thresholds, deviations = ItemRanks(tiny_run, users[:1], users, k=3).thresholds()
    goal = GOALS[name](Target(tiny_run, users, thresholds, deviations))
    start = tf.constant(tiny_run.visual_item_embeddings[1:])
    slope = gradients(start, goal)
    sizes = tf.norm(slope, axis=1, keepdims=True)
    assert (sizes.numpy() > 0).all()
    assert (goal(start + 1e-4 * slope / sizes) > goal(start)).numpy().all()


def test_promotion_is_of_the_users_that_it_is_for(tiny_run: Run) -> None:
    user = np.array([3], np.int32)
    goal = GOALS["promotion"](Target(tiny_run, user, np.array([0.5], np.float32), np.array([2.0], np.float32)))
    margins = (tiny_run.visual_item_embeddings @ tiny_run.visual_user_embeddings[3] - 0.5) / 2.0
    expected = -np.log1p(np.exp(-margins))
    np.testing.assert_allclose(goal(tf.constant(tiny_run.visual_item_embeddings)), expected, rtol=1e-5)


def test_resemblance_is_nearest_at_the_most_popular(tiny_run: Run) -> None:
    """One of eight shoes is their tenth; the distance to it is in units of the catalogue's variance."""
    nobody = (np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32))
    values = GOALS["resemblance"](Target(tiny_run, *nobody, category="shoe"))(tiny_run.visual_item_embeddings).numpy()
    shoes = np.flatnonzero(tiny_run.items.category_ids == tiny_run.items.category_id("shoe"))
    popular = shoes[np.argmax(tiny_run.interactions.training_counts[shoes])]
    embeddings = tiny_run.visual_item_embeddings
    squares = np.square(embeddings - embeddings[popular]).sum(axis=1)
    np.testing.assert_allclose(values, -squares / embeddings.var(axis=0).sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DEFENCES)
def test_defences_keep_the_photo_and_lose_what_is_fine(name: str) -> None:
    grey = np.full((2, 32, 24, 3), 128, np.uint8)
    fine = grey.copy()
    fine[:, ::2, ::2] += 6
    np.testing.assert_allclose(DEFENCES[name](grey), grey, atol=1)
    before, after = (np.ptp(images.astype(int)) for images in (fine, DEFENCES[name](fine)))
    assert after < before


def test_the_folder_holds_what_was_measured(attacked: tuple[AttackEvaluation, Path]) -> None:
    evaluation, folder = attacked
    written = json.loads((folder / "attack.json").read_text())
    assert written == json.loads(json.dumps(evaluation.figures))
    assert len(written["exposures"]) == 2 * 3 * 3
    assert 0.0 <= written["detection_auc"] <= 1.0
    by_item = pl.read_csv(folder / "items.csv")
    assert by_item["item_id"].to_list() == evaluation.item_ids
    row = next(each for each in written["exposures"] if each["recommender"] == SECOND and each["defence"] == "jpeg")
    assert row["mean_rank"] == pytest.approx(by_item[f"mean_rank ({SECOND}, jpeg, {CLEAN})"].mean())
    for number in range(16):
        with Image.open(folder / f"item_{number + 1:03d}.png") as saved:
            np.testing.assert_array_equal(np.array(saved), evaluation.after[number])
    with Image.open(folder / "attack.png") as grid:
        assert grid.height > 4 * 160
    np.testing.assert_allclose(by_item["psnr"], psnr(evaluation.before, evaluation.after))
    assert by_item["psnr"].min() > 20 * np.log10(255 / 8)


def test_psnr_of_a_known_error() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    assert psnr(image, image + np.uint8(16))[0] == pytest.approx(20 * np.log10(255 / 16))


def test_random_items_are_of_the_category_and_ascend(tiny_run: Run) -> None:
    rows = sampled_items(tiny_run, 5, "shoe", seed=1)
    assert [tiny_run.items.table["category"][int(row)] for row in rows] == ["shoe"] * 5
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, sampled_items(tiny_run, 5, "shoe", seed=1))


def test_what_cannot_be_attacked(tiny_run: Run, run_of: RunOf) -> None:
    with pytest.raises(RunError, match="dvbpr"):
        api.attack(run_of("popularity"))
    with pytest.raises(RunError, match="another run"):
        api.attack(tiny_run, second_run=tiny_run)
    with pytest.raises(UnknownIdError):
        api.attack(tiny_run, item_ids=["nothing"])
    with pytest.raises(UnknownIdError):
        api.attack(tiny_run, options=AttackOptions(goal="resemblance", target_category="hat"))
    for wrong in ({"epsilon": 0.0}, {"epsilon": float("nan")}, {"attack": "x"}, {"goal": "x"}, {"k": 0}):
        with pytest.raises(ConfigError):
            AttackOptions(**wrong)  # type: ignore[arg-type]


def test_the_command_prints_what_it_wrote(tiny_run: Run, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "attacked"
    arguments = ("attack", tiny_run.path, "--output", output, "--item", "i3", "--item", "i8", "--method", "fgsm")
    code, printed, errors = command(*arguments, "--epsilon", "6/255")
    assert code == 0, errors
    figures = json.loads((output / "attack.json").read_text())
    assert figures["options"]["epsilon"] == pytest.approx(6 / 255)
    assert figures["num_items"] == 2
    assert "attacked run" in printed
    assert "PSNR" in printed
    code, _, errors = command(*arguments[:-2], "--epsilon", "four", "--if-exists", "overwrite")
    assert code == 2
    assert "4/255" in errors
