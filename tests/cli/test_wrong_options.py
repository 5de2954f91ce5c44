"""An option that does not exist, by whichever copy of Click Typer has."""

from __future__ import annotations

import pytest
from tiny_data import Command


@pytest.mark.parametrize(("option", "meant"), [("--outptu", "--output"), ("--tensorb", "--tensorboard")])
def test_the_nearest_options_by_edit_distance_and_prefix(command: Command, option: str, meant: str) -> None:
    code, shown, complaint = command("train", "shop", option, "x")
    assert (code, shown) == (2, "")
    assert option in complaint
    assert meant in complaint


def test_a_prefix_too_short_for_an_edit_distance(command: Command) -> None:
    _, _, complaint = command("train", "shop", "--ten", "x")
    assert "--tensorboard" in complaint
