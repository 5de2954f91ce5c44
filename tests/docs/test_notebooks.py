"""The notebooks' cells run, with smaller sizes, and what is stored of them is fit to be shown."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
# In the place of the first cell of code, which holds nothing but sizes.
SIZES: dict[str, dict[str, int]] = {
    "own_data": {"NUM_ITEMS": 60, "NUM_USERS": 30, "EPOCHS": 1},
    "designing": {
        "NUM_ITEMS": 64,
        "NUM_USERS": 30,
        "RECOMMENDER_EPOCHS": 1,
        "GAN_STEPS": 4,
        "GAN_CHANNELS": 4,
        "TAILOR_STEPS": 2,
    },
    "serving": {"NUM_ITEMS": 60, "NUM_USERS": 30, "EPOCHS": 1},
}
_MOST_BYTES = 1_500_000


def _cells(name: str, kind: str) -> list[dict[str, Any]]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_the_cells_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    first, *others = _cells(name, "code")
    exec("".join(first["source"]), names)
    assert {key for key in names if key.isupper()} == set(SIZES[name])
    names |= SIZES[name]
    for cell in others:
        exec(compile("".join(cell["source"]), f"{name}.ipynb", "exec"), names)


@pytest.mark.parametrize("name", SIZES)
def test_the_stored_outputs_are_of_one_run_and_of_no_machine(name: str) -> None:
    cells = _cells(name, "code")
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(
        output["output_type"] == "error" or output.get("name") == "stderr"
        for cell in cells
        for output in cell["outputs"]
    )
    images = [output for cell in cells for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert bool(images) == (name != "serving")
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < _MOST_BYTES
    assert re.findall(r"/(?:home|root|tmp|usr|opt|work|Users)/[^\s\"]*", path.read_text(encoding="utf-8")) == []
