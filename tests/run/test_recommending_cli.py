"""The commands `recommend`, `update-items` and `explain`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tiny_data import BLUE, Command, encoded, noisy_picture, write_source

from tfdvbpr.run import Run


def test_recommend_for_a_user_and_for_somebody_new(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    code, told, _ = command("recommend", tiny_run.path, "--user", "u3", "--k", 3, "--category", "shoe")
    assert code == 0
    best = [each.item_id for each in tiny_run.recommend("u3", k=3, category="shoe")]
    assert all(f" {item_id} " in told for item_id in best)
    liked = ("--liked", "i1", "--liked", "i5")
    code, told, _ = command("recommend", tiny_run.path, *liked, "--output", tmp_path / "grid.png")
    assert code == 0
    assert "somebody new" in told
    best = [each.item_id for each in tiny_run.recommend_for(["i1", "i5"])]
    assert all(f" {item_id} " in told for item_id in best)
    assert " i5 " not in told
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width > 800


def test_update_items_and_explain_a_new_one(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    items = [("new", "hat", encoded(noisy_picture(BLUE, (32, 32), 7))), ("i3", "hat", b"")]
    source = write_source(tmp_path / "spring", items, [])
    code, told, _ = command("update-items", tiny_run.path, source, "--output", tmp_path / "run")
    assert code == 0
    assert "Added 1 items, 17 in all; left out 1" in told
    assert "quarantine.csv" in told
    asked = ("--user", "u3", "--item", "new", "--steps", 8, "--output", tmp_path / "why.png")
    code, told, _ = command("explain", tmp_path / "run", *asked)
    assert code == 0
    assert told.startswith("new: score ")
    assert "the taste for i" in told
    assert (tmp_path / "why.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recommend", "RUN"), "either --user ID or one or more --liked ITEM"),
        (("recommend", "RUN", "--user", "u1", "--liked", "i1"), "either --user ID or one or more --liked ITEM"),
        (("recommend", "RUN", "--liked", "jacket"), "`item` must be one of the 16 known ids. Received 'jacket'"),
        (("recommend", "RUN", "--user", "u1", "--category", "hat"), "`category` must be one of the 2 known"),
        (("explain", "RUN", "--user", "x", "--item", "i1", "--output", "x.png"), "`user` must be one of the 8 known"),
        (("update-items", "RUN", "nowhere", "--output", "new"), "There is no folder nowhere"),
        (("update-items", "RUN", "nowhere", "--output", "RUN"), "--if-exists overwrite"),
    ],
)
def test_one_sentence_for_what_can_be_mended(
    command: Command, tiny_run: Run, arguments: tuple[str, ...], told: str
) -> None:
    code, _, complaint = command(*(tiny_run.path if argument == "RUN" else argument for argument in arguments))
    assert code == 2
    lines = [line for line in complaint.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    assert told in lines[0]
