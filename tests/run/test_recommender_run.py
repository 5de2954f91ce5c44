from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_data import RunOf

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DatasetError, RunError, UnknownIdError
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.folder import FORMAT_VERSION
from tfdvbpr.training.recommender.train import train_recommender

EVEN, ODD = ["i0", "i2", "i4"], ["i1", "i5"]


@pytest.fixture
def copy(tiny_run: Run, tmp_path: Path) -> Path:
    """The tiny run in a folder that may be damaged."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "run"))


def _change(run: Path, **values: Any) -> None:
    manifest = run / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **values}))


def _message(kind: type[Exception], action: Callable[[], object]) -> str:
    """The error's message, which has to be one line."""
    with pytest.raises(kind) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    message = _message(RunError, lambda: Run.open(tmp_path / "nowhere"))
    assert message.startswith("RUN must be a folder made by `tfdvbpr train`.")
    assert message.endswith(f"Run `tfdvbpr train DATASET --output {tmp_path / 'nowhere'}` first.")
    assert "`tfdvbpr train-gan DATASET" in _message(RunError, lambda: GanRun.open(tmp_path / "nowhere"))


def test_a_run_of_another_version(copy: Path) -> None:
    _change(copy, format_version=1, library_version="0.1.0")
    assert _message(RunError, lambda: Run.open(copy)) == (
        f"RUN must be of format {FORMAT_VERSION}, which tfdvbpr {__version__} reads. {copy} is of format 1, written by "
        "tfdvbpr 0.1.0. Train again, or use that version."
    )


def test_a_configuration_of_another_version(copy: Path) -> None:
    """Within one format too, an option may be gone."""
    _change(copy, library_version="0.1.9")
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text() + "colour_jitter: 0.1\n")
    message = _message(RunError, lambda: Run.open(copy).config)
    assert "was written by tfdvbpr 0.1.9. `colour_jitter` " in message


@pytest.mark.parametrize("text", ["", "not json", '{"format_version": 2}', "[]"])
def test_a_damaged_manifest(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    message = _message(RunError, lambda: Run.open(copy))
    assert "manifest.json cannot be read as a run" in message
    assert message.endswith("Train again.")


def test_the_other_kind(tiny_run: Run, tiny_gan_run: GanRun) -> None:
    message = _message(RunError, lambda: Run.open(tiny_gan_run.path))
    assert message == f"{tiny_gan_run.path} must be a recommender run. It is a gan run. Give the other folder."
    message = _message(RunError, lambda: GanRun.open(tiny_run.path))
    assert message == f"{tiny_run.path} must be a gan run. It is a recommender run. Give the other folder."


def test_the_dataset_has_changed(copy: Path, checkerboard_dataset: PreparedDataset) -> None:
    _change(copy, dataset_fingerprint="0123456789abcdef")
    message = _message(DatasetError, Run.open(copy).open_dataset)
    assert "was trained on the dataset 0123456789abcdef" in message
    assert checkerboard_dataset.manifest.fingerprint in message
    assert "Give the right folder with --dataset, or train again." in message


def test_the_dataset_is_gone_or_has_moved(copy: Path, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    _change(copy, dataset_path=str(gone))
    message = _message(DatasetError, Run.open(copy).open_dataset)
    assert message.endswith(f"{gone}, which must still be there. It is gone. Give its folder with --dataset.")
    moved = Path(shutil.copytree(checkerboard_dataset.path, tmp_path / "moved"))
    assert Run.open(copy).open_dataset(moved).path == moved


def test_a_run_without_weights(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")
    message = _message(RunError, lambda: run.recommender)
    assert "A popularity run has none. Use a dvbpr run." in message


def test_reopened_weights_give_the_stored_factors(copy: Path, checkerboard_dataset: PreparedDataset) -> None:
    run = Run.open(copy)
    images = checkerboard_dataset.images.read(np.arange(16)).astype(np.float32) / 127.5 - 1.0
    embeddings = run.recommender.embed_images(images).numpy()
    np.testing.assert_allclose(embeddings, run.factors.item_embeddings, atol=1e-4)


def test_models_may_be_opened_within_a_graph(tiny_run: Run, tiny_gan_run: GanRun) -> None:
    """A model is kept once it is opened, so what a traced function reads must be there for everything after it."""
    run, gan = Run.open(tiny_run.path), GanRun.open(tiny_gan_run.path)

    @tf.function
    def traced() -> list[int]:
        return [len(model.weights) for model in (run.recommender, gan.generator, gan.discriminator)]

    traced.get_concrete_function()
    pairs = [(run.recommender, tiny_run.recommender), (gan.generator, tiny_gan_run.generator)]
    for traced_model, model in [*pairs, (gan.discriminator, tiny_gan_run.discriminator)]:
        for weight, expected in zip(traced_model.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_recommendations_are_the_best_unseen_items(tiny_run: Run) -> None:
    """Of 16 items a user has acted on 8; the other 8 remain, by falling score."""
    scores = tiny_run.score(["u3"], [f"i{item}" for item in range(16)])[0]
    unseen = [item for item in range(16) if item % 2 == 0]
    best = sorted(unseen, key=lambda item: -scores[item])
    answer = tiny_run.recommend("u3", k=5)
    assert [each.item_id for each in answer] == [f"i{item}" for item in best[:5]]
    assert [each.score for each in answer] == pytest.approx([scores[item] for item in best[:5]])
    everything = tiny_run.recommend("u3", k=100, exclude_seen=False)
    assert len({each.item_id for each in everything}) == 16
    assert {each.category for each in tiny_run.recommend("u3", category="shoe", k=100)} == {"shoe"}


def test_wrong_requests(tiny_run: Run) -> None:
    assert "Nearest: 'u3'" in _message(UnknownIdError, lambda: tiny_run.recommend("u33"))
    assert "Nearest: 'shoe'" in _message(UnknownIdError, lambda: tiny_run.recommend("u3", category="shoes"))
    assert "`item` must be one of" in _message(UnknownIdError, lambda: tiny_run.score(["u3"], ["jacket"]))
    assert "`k` must be at least 1" in _message(ValueError, lambda: tiny_run.recommend("u3", k=0))


def _own_items(run: Run) -> list[list[str]]:
    matrix = run.interactions.training_matrix
    return [[run.items.item_ids[item] for item in matrix[user].indices] for user in range(run.manifest.num_users)]


@pytest.mark.parametrize("name", ["dvbpr", "visrank", "siamese", "popularity"])
def test_users_in_closed_form_come_back_from_their_own_items(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    np.testing.assert_allclose(run.fold_in(_own_items(run)), run.factors.user_embeddings, atol=1e-4)


def test_a_hybrid_user_has_a_closed_and_a_fitted_part(run_of: RunOf) -> None:
    run = run_of("hybrid-dvbpr")
    users = run.fold_in(_own_items(run))
    np.testing.assert_allclose(users[:, :4], run.visual_user_embeddings, atol=1e-4)
    assert users.shape == run.factors.user_embeddings.shape == (8, 7)


@pytest.mark.parametrize("name", [*RECOMMENDERS, "free"])
def test_recommendations_for_a_new_user(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    users = run.fold_in([EVEN, ODD, []])
    assert users.dtype == np.float32
    assert np.isfinite(users).all()
    np.testing.assert_allclose(users[2], run.factors.user_embeddings.mean(axis=0), atol=1e-5)
    scores = run.factors.scores_for(users)[0]
    unseen = [item for item in range(16) if f"i{item}" not in EVEN and item // 2 % 2]
    best = sorted(unseen, key=lambda item: -scores[item])
    answer = run.recommend_for([*EVEN, EVEN[0]], k=3, category="shoe")
    assert [each.item_id for each in answer] == [f"i{item}" for item in best[:3]]
    assert len(run.recommend_for(EVEN, k=99)) == 13
    assert len(run.recommend_for(EVEN, k=99, exclude_seen=False)) == 16


@pytest.mark.parametrize("name", ["bpr-mf", "free", "vbpr"])
def test_a_fitted_user_ranks_liked_items_above_the_rest(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    scores = run.factors.scores_for(run.fold_in([EVEN, ODD]))
    for row, liked in zip(scores, (EVEN, ODD), strict=True):
        own = run.items.indices(liked)
        mean = run.factors.scores_for(run.fold_in([[]]))[0]
        assert row[own].mean() - np.delete(row, own).mean() > mean[own].mean() - np.delete(mean, own).mean()


def test_unknown_items_and_wrong_numbers(tiny_run: Run) -> None:
    with pytest.raises(UnknownIdError, match="`item` must be one of the 16 known ids"):
        tiny_run.fold_in([["i1"], ["jacket"]])
    with pytest.raises(UnknownIdError, match="'jacket'"):
        tiny_run.recommend_for(["jacket"])
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        tiny_run.recommend_for(["i1"], k=0)
