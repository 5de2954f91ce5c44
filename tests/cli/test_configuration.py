from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_data import Command

from tfdvbpr.config import RecommenderConfig, gan_config, resolve_config
from tfdvbpr.config.gan import GanConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config


@pytest.mark.parametrize(
    ("model", "options"),
    [("dvbpr", ["--preset", "paper"]), ("warp", []), ("popularity", []), ("fm", ["--set", "epochs=3"])],
)
def test_what_is_printed_can_be_fed_back(command: Command, tmp_path: Path, model: str, options: list[str]) -> None:
    code, text, _ = command("config", model, *options)
    assert code == 0
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    preset = options[1] if "--preset" in options else None
    overrides = options[1:] if "--set" in options else []
    expected = recommender_config(model, preset=preset, overrides=overrides)
    assert recommender_config(model, file=tmp_path / "mine.yaml") == expected
    assert yaml.safe_load(text) == expected.model_dump(mode="json")


def test_every_value_stands_below_its_description_in_its_group(command: Command) -> None:
    _, text, _ = command("config", "dvbpr")
    groups = [line.removeprefix("# == ") for line in text.splitlines() if line.startswith("# == ")]
    assert groups == ["model", "user profile", "data", "loss", "optimizer", "evaluation", "checkpoint"]
    assert "\n# Length of θ_u and Φ(x).\nembedding_dim: 64\n" in text
    for field in RecommenderConfig.model_fields.values():
        assert isinstance(field.json_schema_extra, dict)


def test_a_gan_is_printed(command: Command) -> None:
    code, text, _ = command("config", "gan", "--preset", "paper")
    assert code == 0
    assert resolve_config(GanConfig, defaults=yaml.safe_load(text)) == gan_config("paper")


def test_a_wrong_key_is_answered_with_the_nearest(command: Command) -> None:
    code, _, error = command("config", "dvbpr", "--set", "learning_rat=1")
    assert code == 2
    assert "`learning_rat` is no field of the configuration." in error
    assert "Nearest: learning_rate" in error
    code, _, error = command("config", "dvbr")
    assert code == 2
    assert "`MODEL` must be one of dvbpr, hybrid-dvbpr" in error
    assert "Nearest: dvbpr" in error


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: vbpr\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"`model` of the configuration must be dvbpr\. Received vbpr"):
        recommender_config("dvbpr", file=tmp_path / "mine.yaml")


def test_options_stay_few() -> None:
    """A field is there because a preset, a benchmark or a documented result sets it: another one needs the same."""
    assert len(RecommenderConfig.model_fields) <= 43
    assert all(set(kind.defaults) <= set(RecommenderConfig.model_fields) for kind in RECOMMENDERS.values())
