from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tfdvbpr.cli import completion
from tfdvbpr.run import GanRun, Run


def test_folders_are_completed_by_their_kind(
    tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("[")
    (tmp_path / "one-run").symlink_to(tiny_run.path)
    (tmp_path / "one-gan").symlink_to(tiny_gan_run.path)
    (tmp_path / "one-dataset").symlink_to(tiny_run.manifest.dataset_path)
    (tmp_path / ".hidden").mkdir()
    monkeypatch.chdir(tmp_path)
    assert completion.runs("") == ["damaged/", "one-run", "other/"]
    assert completion.gan_runs("one") == ["one-gan"]
    assert completion.datasets(f"{tmp_path}/one") == [f"{tmp_path}/one-dataset"]
    assert completion.runs("missing/x") == []


def test_models_and_configuration_keys_are_completed() -> None:
    assert "dvbpr" in completion.models("dv")
    train, gan = (SimpleNamespace(info_name=name, params={}) for name in ("train", "train-gan"))
    assert completion.config_keys(train, "embedding") == ["embedding_dim="]
    assert "latent_dim=" in completion.config_keys(gan, "latent")
