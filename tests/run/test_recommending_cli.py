"""The commands `recommend`, `update-items` and `explain`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tiny_data import BLUE, Command, encoded, noisy_picture, write_source

from tfdvbpr.run import Run


def test_recommend_to_a_user_and_to_a_new_user(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    code, shown, _ = command("recommend", tiny_run.path, "--user", "u3", "--k", 3, "--category", "shoe")
    assert code == 0
    best = [each.item_id for each in tiny_run.recommend("u3", k=3, category="shoe")]
    assert all(f" {item_id} " in shown for item_id in best)
    liked = ("--liked", "i1", "--liked", "i5")
    code, shown, _ = command("recommend", tiny_run.path, *liked, "--output", tmp_path / "grid.png")
    assert code == 0
    assert "a new user" in shown
    best = [each.item_id for each in tiny_run.recommend_for(["i1", "i5"])]
    assert all(f" {item_id} " in shown for item_id in best)
    assert " i5 " not in shown
    with Image.open(tmp_path / "grid.png") as image:
        assert image.width > 800


def test_update_items_and_explain_a_new_one(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    items = [("new", "hat", encoded(noisy_picture(BLUE, (32, 32), 7))), ("i3", "hat", b"")]
    source = write_source(tmp_path / "spring", items, [])
    code, shown, _ = command("update-items", tiny_run.path, source, "--output", tmp_path / "run")
    assert code == 0
    assert "Added 1 items, 17 in all; left out 1" in shown
    assert "quarantine.csv" in shown
    request = ("--user", "u3", "--item", "new", "--output", tmp_path / "why.png")
    code, shown, _ = command("explain", tmp_path / "run", *request)
    assert code == 0
    assert shown.startswith("new: score ")
    assert "from liked items i" in shown
    assert (tmp_path / "why.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("recommend", "RUN"), "either --user ID or one or more --liked ITEM or --users"),
        (
            ("recommend", "RUN", "--user", "u1", "--liked", "i1"),
            "either --user ID or one or more --liked ITEM or --users",
        ),
        (("recommend", "RUN", "--liked", "jacket"), "`item` must be one of the 16 known ids. Received 'jacket'"),
        (("recommend", "RUN", "--user", "u1", "--category", "hat"), "`category` must be one of the 2 known"),
        (("explain", "RUN", "--user", "x", "--item", "i1", "--output", "x.png"), "`user` must be one of the 8 known"),
        (("update-items", "RUN", "nowhere", "--output", "new"), "There is no folder nowhere"),
        (("update-items", "RUN", "nowhere", "--output", "RUN"), "--if-exists overwrite"),
    ],
)
def test_one_sentence_for_user_errors(command: Command, tiny_run: Run, arguments: tuple[str, ...], shown: str) -> None:
    code, _, complaint = command(*(tiny_run.path if argument == "RUN" else argument for argument in arguments))
    assert code == 2
    lines = [line for line in complaint.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    assert shown in lines[0]
