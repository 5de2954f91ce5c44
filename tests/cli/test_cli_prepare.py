"""`tfdvbpr prepare`: what it says of a source, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from cli_calls import Call, complaint
from tiny_data import RED, encoded, huge_png, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS


def test_hostile_input_is_quarantined(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """5 % truncated images, 1 % unknown ids, an empty file, a huge PNG and a text file named .jpg."""
    good = [encoded(noisy_picture(RED, (40, 40), number)) for number in range(100)]
    images = [image[: len(image) // 2] if number < 5 else image for number, image in enumerate(good)]
    images[5], images[6], images[7] = b"", huge_png(20_000), b"this is no image"
    items = [(f"i{number}", "shirt", image) for number, image in enumerate(images)]
    actions = [(f"u{user}", f"i{(7 * user + 3 * step) % 100}") for user in range(50) for step in range(8)]
    actions[::100] = [("u1", "nobody knows this item")] * 4
    source = write_source(tmp_path / "shop", items, actions)
    assert "more than --max-loss 5%" in complaint(call, capsys, "prepare", source, "--output", tmp_path / "dataset")
    assert call("prepare", source, "--output", tmp_path / "dataset", "--max-loss", "10%") == 0
    printed = capsys.readouterr().out
    dataset = PreparedDataset.open(tmp_path / "dataset")
    assert dataset.manifest.num_items == 92
    assert dataset.manifest.quarantine["broken image"] == 8
    assert dataset.manifest.quarantine["unknown item id"] == 4
    listed = pl.read_csv(tmp_path / "dataset" / "quarantine.csv")
    assert listed.height == dataset.manifest.num_quarantined
    reasons = dict(zip(listed["value"], listed["reason"], strict=True))
    assert "empty file" in reasons["images/5.jpg"]
    assert "400000000 pixels" in reasons["images/6.jpg"]
    assert "images/7.jpg" in reasons
    assert "broken image" in printed
    assert "quarantine.csv" in printed


def test_splits_filters_and_duplicates(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [encoded(noisy_picture(RED, (32, 32), min(number, 5))) for number in range(7)]  # the last two the same
    items = [(f"i{number}", "shirt", image) for number, image in enumerate(images)]
    source = write_source(tmp_path / "shop", items, [])
    rows = [f"u{user},i{item},2024-01-0{item + 1}" for user in range(4) for item in range(6)]
    (source / "interactions.csv").write_text(
        "\n".join(["user_id,item_id,timestamp", *rows, "lone,i6,2024-01-01"]) + "\n"
    )
    dataset, output = tmp_path / "dataset", tmp_path / "description"
    request = ("--split", "time", "--test-fraction", "0.2", "--min-user-actions", "2", "--duplicates", "merge")
    assert call("prepare", source, "--output", dataset, "--image-size", "32x32", *request) == 0
    printed = capsys.readouterr().out
    assert "split: time" in printed
    assert "filtered: users with fewer than 2 actions" in printed
    assert "duplicates.csv" in printed
    about = PreparedDataset.open(dataset).manifest
    assert (about.num_train, about.num_validation, about.num_test) == (16, 4, 4)
    assert (about.num_items, about.filtered["users"]) == (6, 1)
    assert call("describe", dataset, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "2024-01-06T00:00:00Z" in printed
    assert "Gini" in printed
    assert {path.name for path in output.iterdir()} == {"long_tail.png", "sample_grid.png", "description.json"}
    line = complaint(call, capsys, "prepare", source, "--output", tmp_path / "other", "--split", "source")
    assert "needs a column `split`" in line
    line = complaint(call, capsys, "prepare", source, "--output", tmp_path / "other", "--test-fraction", "1")
    assert "`test_fraction`" in line


def test_a_wrong_header(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "shop", [("i0", "shirt", encoded(noisy_picture(RED, (32, 32), 0)))], [])
    (source / "interactions.csv").write_text("customer;product\n1;2\n")
    printed = complaint(call, capsys, "prepare", source, "--output", tmp_path / "dataset")
    assert "interactions.csv" in printed
    assert "user_id" in printed
    assert not (tmp_path / "dataset").exists()


def test_published_sources(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dvbpr-npy", "hm", "amazon-reviews-2023"):
        printed = complaint(call, capsys, "prepare", "--format", name, "--output", tmp_path / "out")
        assert f"--format {name} needs a SOURCE" in printed
        printed = complaint(call, capsys, "prepare", tmp_path, "--format", name, "--output", tmp_path / "out")
        assert str(tmp_path) in printed
    printed = complaint(call, capsys, "prepare", tmp_path, "--format", "fashion-mnist", "--output", tmp_path / "out")
    assert "Fashion-MNIST's four files" in printed
    assert "dvbpr-npy" in complaint(call, capsys, "prepare", tmp_path, "--format", "x", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", ["64", "64x", "8x8", "0x64"])
def test_wrong_image_sizes(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str) -> None:
    complaint(call, capsys, "prepare", tmp_path, "--image-size", size, "--output", tmp_path / "out")


def test_help_names_every_source(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("prepare", "--help") == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in IMPORTERS)


def test_columns_are_for_folders(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ("prepare", tmp_path, "--format", "hm", "--columns", "item_id=sku", "--output", tmp_path / "dataset")
    assert "--columns is for --format folder; hm has names of its own" in complaint(call, capsys, *request)
