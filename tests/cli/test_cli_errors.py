"""One line with exit code 2 for what the user can correct, 1 for the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_calls import Call, complaint

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import GanRun, Run


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("evalute", "run"), "Did you mean evaluate"),
        (("trian", "shop"), "Did you mean train"),
        (("train", "shop", "--outptu", "x"), "--output"),
        (("evaluate", "RUN", "--metric", "recal@10"), "recall"),
        (("train", "DATASET", "--output", "x", "--set", "emb=3"), "Nearest: embedding_dim"),
        (("train", "DATASET", "--output", "x", "--model", "dvpbr"), "dvbpr"),
    ],
)
def test_the_nearest_name_is_suggested(
    call: Call, tiny_run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], shown: str
) -> None:
    places = {"RUN": str(tiny_run.path), "DATASET": tiny_run.manifest.dataset_path}
    assert call(*(places.get(each, each) for each in arguments)) == 2
    assert shown in capsys.readouterr().err


def test_missing_places(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no folder" in complaint(call, capsys, "prepare", tmp_path / "no", "--output", tmp_path / "out")
    assert "tfdvbpr prepare" in complaint(call, capsys, "describe", tmp_path / "no")
    assert "tfdvbpr prepare" in complaint(call, capsys, "train", tmp_path / "no", "--output", tmp_path / "out")
    assert "tfdvbpr train DATASET" in complaint(call, capsys, "evaluate", tmp_path / "no")


def test_a_dataset_of_another_version(
    call: Call, checkerboard_dataset: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(checkerboard_dataset.path, tmp_path / "dataset")
    manifest = copy / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    assert "version 99" in complaint(call, capsys, "train", copy, "--output", tmp_path / "run")


def test_unknown_names(
    call: Call, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ("design", tiny_run.path, "--gan", tiny_gan_run.path, "--output", tmp_path / "out")
    printed = complaint(call, capsys, *request, "--user", "nobody", "--category", "shoe")
    assert printed.startswith("tfdvbpr: `user` must be one of the 8 known ids. Received 'nobody'.")
    printed = complaint(call, capsys, *request, "--user", "u1", "--category", "shoes")
    assert "`category` must be one of the 2 known" in printed
    assert "'shoe'" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("--model", "magic"), "`model` must be one of dvbpr"),
        (("--set", "epoch=3"), "Nearest: epochs."),
        (("--set", "epochs=none"), "`epochs` has a wrong value"),
        (("--set", "epochs"), "KEY=VALUE"),
        (("--config", "no.yaml"), "no.yaml cannot be read"),
        (("--preset", "letter"), "`preset` must be one of paper"),
        (("--set", "backbone=ResNet5"), "Nearest: ResNet50"),
        (("--set", "backbone_trainable=last:0"), "`backbone_trainable` has a wrong value"),
    ],
)
def test_wrong_configuration(
    call: Call,
    checkerboard_dataset: PreparedDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    printed: str,
) -> None:
    line = complaint(call, capsys, "train", checkerboard_dataset.path, "--output", tmp_path / "run", *arguments)
    assert printed in line


def test_an_output_that_is_taken(call: Call, tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tiny_run.manifest.dataset_path
    assert "--if-exists overwrite" in complaint(call, capsys, "train", dataset, "--output", tiny_run.path)


def test_what_the_user_cannot_correct_ends_with_1(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfdvbpr.data.dataset.PreparedDataset.open", lambda *_, **__: 1 / 0)
    assert call("describe", tmp_path) == 1
    assert capsys.readouterr().err.startswith("tfdvbpr: ZeroDivisionError")
