"""What the demo refuses, and which GAN it trains; the whole of it is `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tfdvbpr.config import gan_config
from tfdvbpr.demo import walk
from tfdvbpr.errors import OutputExistsError
from tfdvbpr.models.backbones.efficientnet_lite import LITE_SIZES


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputExistsError, match="holds other things"):
        walk.run_demo(tmp_path)
    assert (tmp_path / "letter.txt").is_file()


def test_a_demo_of_another_seed_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / walk.MARKER_NAME).write_text('{"seed": 1, "version": "0"}\n')
    with pytest.raises(OutputExistsError, match="another seed or version"):
        walk.run_demo(tmp_path, seed=0)


def test_the_gan_needs_no_pretrained_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert walk.gan_settings(seed=3).discriminator == gan_config("default").discriminator
    assert capsys.readouterr().err == ""
    for size in LITE_SIZES.values():
        monkeypatch.setitem(sys.modules, size.package, None)  # as if it were not installed
    config = walk.gan_settings(seed=3)
    assert config.discriminator == gan_config("plain").discriminator
    assert config.seed == 3
    assert "pip install 'tfdvbpr[pretrained]'" in " ".join(capsys.readouterr().err.split())
