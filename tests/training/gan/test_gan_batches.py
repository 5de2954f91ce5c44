from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tiny_data import encoded, noisy_picture, write_source

from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError
from tfdvbpr.training.gan.batches import PULLED, GanBatches, plan_categories

COUNTS = {"shirt": 36, "shoe": 9, "glove": 2, "hat": 1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """48 images of 16x16 in four categories of very different sizes."""
    folder = tmp_path_factory.mktemp("uneven")
    names = [name for name, count in COUNTS.items() for _ in range(count)]
    items = [
        (f"i{number}", name, encoded(noisy_picture((5 * number, 80, 80), (16, 16), number)))
        for number, name in enumerate(names)
    ]
    actions = [(f"u{user}", f"i{item}") for user in range(4) for item in range(user, len(items), 4)]
    source = read_folder(write_source(folder / "source", items, actions))
    return prepare(source, folder / "dataset", options=PrepareOptions(image_size=(16, 16)), source_format="folder")


def _config(**values: Any) -> GanConfig:
    return GanConfig.model_validate({"global_batch_size": 8, "latent_dim": 3, **values})


def _parts(dataset: PreparedDataset, config: GanConfig, *, epochs: int = 1, num_replicas: int = 1) -> Iterator[Any]:
    batches = GanBatches(dataset, config, num_replicas=num_replicas)
    for epoch in range(epochs):
        for parts in batches.epoch(epoch):
            yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_by_default_every_image_comes_once(dataset: PreparedDataset) -> None:
    items = np.concatenate([batch["item_ids"] for batch in _parts(dataset, _config())])
    np.testing.assert_array_equal(np.sort(items), np.arange(48))


@pytest.mark.parametrize(
    ("power", "expected"),
    [(0.0, {"shirt": 0.25, "shoe": 0.25, "glove": 0.25, "hat": 0.25}), (0.5, {"shirt": 6 / (10 + 2**0.5)})],
)
def test_probabilities_by_hand(dataset: PreparedDataset, power: float, expected: dict[str, float]) -> None:
    plan = plan_categories(dataset, _config(category_power=power))
    assert plan.probabilities.sum() == pytest.approx(1.0)
    for name, probability in expected.items():
        assert plan.probabilities[plan.names.index(name)] == pytest.approx(probability)


def test_categories_come_by_their_probabilities_and_images_evenly(dataset: PreparedDataset) -> None:
    """Every category as often: 12 of 48, to one; the two gloves 6 times each."""
    batches = list(_parts(dataset, _config(category_power=0.0), epochs=3))
    for epoch in range(3):
        sampled = [batch["item_ids"] for batch in batches[6 * epoch : 6 * epoch + 6]]
        items = np.bincount(np.concatenate(sampled), minlength=48)
        by_category = np.bincount(dataset.items.category_ids, items)
        np.testing.assert_allclose(by_category, 12, atol=1.01, err_msg=str(epoch))
        gloves = dataset.items.category_ids == dataset.manifest.categories.index("glove")
        np.testing.assert_allclose(items[gloves], 6, atol=1.01)


def test_a_wrong_category_is_wrong_and_sampled_by_probability(dataset: PreparedDataset) -> None:
    config = _config(category_power=0.0)
    batches = list(_parts(dataset, config, epochs=20))
    own, other = (np.concatenate([batch[name] for batch in batches]) for name in ("category_ids", "other_ids"))
    assert (own != other).all()
    of_shirts = np.bincount(other[own == dataset.manifest.categories.index("shirt")], minlength=4) / len(own) * 4
    np.testing.assert_allclose(np.sort(of_shirts), [0, 1 / 3, 1 / 3, 1 / 3], atol=0.08)


def test_a_step_does_not_depend_on_replicas_or_on_those_before(dataset: PreparedDataset) -> None:
    config = _config(category_power=0.3, augmentation=("translation", "cutout"))
    whole = list(_parts(dataset, config))
    halves = list(_parts(dataset, config, num_replicas=2))
    late = next(GanBatches(dataset, config, num_replicas=1).epoch(0, first_step=4))[0]
    assert whole[0]["real_draws"].shape == (8, 4)
    for name, array in whole[4].items():
        np.testing.assert_array_equal(array, halves[4][name])
        np.testing.assert_array_equal(array, late[name])
    assert not np.array_equal(whole[0]["real_draws"], whole[0]["fake_draws"])


def test_small_categories_are_refused_left_out_or_merged(dataset: PreparedDataset) -> None:
    with pytest.raises(ConfigError, match=r"at least 5 images\. Fewer have glove \(2\), hat \(1\)\. Set small"):
        plan_categories(dataset, _config(min_category_images=5))
    config = _config(min_category_images=5, small_categories="leave-out")
    plan = plan_categories(dataset, config)
    assert list(plan.notes(config)) == ["Categories with fewer than 5 images are left out: glove (2), hat (1)."]
    assert {plan.names[number] for number in plan.trained} == {"shirt", "shoe"}
    met = {int(item) for batch in _parts(dataset, config) for item in batch["category_ids"]}
    assert met == set(plan.trained)
    config = _config(min_category_images=3, small_categories="merge")
    plan = plan_categories(dataset, config)
    glove = plan.names.index("glove")
    assert plan.trained_as[plan.names.index("hat")] == plan.trained_as[glove] == glove
    assert plan.probabilities[glove] == pytest.approx(3 / 48)
    # Together they are still too few.
    assert set(plan_categories(dataset, _config(min_category_images=4, small_categories="merge")).trained_as) == {
        -1
    } | {plan.names.index(name) for name in ("shirt", "shoe")}
    with pytest.raises(ConfigError, match=r"at least 99 images\. The largest of .* has 36\. Set a lower"):
        plan_categories(dataset, _config(min_category_images=99, small_categories="leave-out"))


def test_every_second_row_is_pulled_toward_its_photo(dataset: PreparedDataset) -> None:
    """In the warm-up all rows are; pulled rows have latents near their photo's, and are augmented like it."""
    config = _config(pull_weight=1.0, warmup=0.5, epochs=2, augmentation=("translation",), global_batch_size=7)
    batches = GanBatches(dataset, config, num_replicas=2)
    assert (batches.global_batch_size, batches.warmup_steps) == (4, batches.steps_per_epoch)
    batches.pulled_latents = np.arange(48, dtype=np.float32)[:, None] * np.full(3, 100.0, np.float32)
    for epoch, pulled in ((0, slice(None)), (1, PULLED)):
        parts = next(batches.epoch(epoch))
        batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        own = batches.pulled_latents[batch["item_ids"]]
        near = (np.abs(batch["latents"] - own) < 1.0).all(axis=1)
        np.testing.assert_array_equal(np.flatnonzero(near | (batch["item_ids"] == 0)), np.arange(4)[pulled])
        if epoch:
            same = (batch["real_draws"] == batch["fake_draws"]).all(axis=1)
            np.testing.assert_array_equal(same, [False, True, False, True])
        else:
            assert "real_draws" not in batch


def test_the_state_of_batches_is_the_latents(dataset: PreparedDataset) -> None:
    first, second = (GanBatches(dataset, _config(pull_weight=1.0), num_replicas=1) for _ in range(2))
    first.pulled_latents = np.random.default_rng(0).standard_normal((48, 3)).astype(np.float32)
    second.load_state(first.state())
    for one, other in zip(first.epoch(1, first_step=2), second.epoch(1, first_step=2), strict=True):
        np.testing.assert_array_equal(one[0]["latents"], other[0]["latents"])


@pytest.mark.parametrize(
    ("steps", "epochs", "steps_per_epoch"), [(0, 20, 6), (50, 1, 50), (400, 4, 100), (1010, 10, 101)]
)
def test_epochs_of_a_budget_of_steps(dataset: PreparedDataset, steps: int, epochs: int, steps_per_epoch: int) -> None:
    batches = GanBatches(dataset, _config(steps=steps), num_replicas=1)
    assert (batches.epochs, batches.steps_per_epoch) == (epochs, steps_per_epoch)
    items = np.concatenate([parts[0]["item_ids"] for parts in batches.epoch(0)])
    assert np.ptp(np.bincount(items, minlength=48)) <= 1


def test_presets() -> None:
    default, plain, paper = gan_config(), gan_config("plain"), gan_config("paper", overrides=["epochs=3"])
    assert (default.discriminator, default.generator, default.objective) == ("projected", "conditional", "hinge")
    assert plain == GanConfig()
    assert (paper.epochs, paper.generator, paper.base_channels, paper.global_batch_size) == (
        3,
        "dcgan_transposed",
        64,
        16,
    )
    assert (default.steps, gan_config(overrides=["epochs=3"]).steps, gan_config(epochs=3).steps) == (7000, 0, 0)
    assert gan_config(epochs=3, overrides=["steps=9"]).steps == 9
    with pytest.raises(ConfigError, match=r"`preset` must be one of default, plain, paper\. Received 'letter'"):
        gan_config("letter")
