from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.folders import write_designs
from tfdvbpr.errors import OutputExistsError
from tfdvbpr.run import Run

GROUP = ("u0", "u1", "u2")


@pytest.fixture(scope="module")
def folder(designer: Designer, checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two designs for a group, scored by a second recommender, which is the first one here."""
    output = tmp_path_factory.mktemp("designs") / "group"
    write_designs(
        designer,
        output,
        Audience.group(GROUP),
        category="shoe",
        dataset=checkerboard_dataset,
        num_designs=2,
        second_run=designer.run,
        seed=4,
    )
    return output


@pytest.fixture(scope="module")
def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "designs.json").read_text(encoding="utf-8"))
    return found


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_folder_holds_images_grid_and_figures(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["ascent.gif", "design_01.png", "design_02.png", "designs.json", "grid.png", "latents.npy"]
    assert _pixels(folder / "design_01.png").shape == (32, 32, 3)
    height, width, _ = _pixels(folder / "grid.png").shape
    assert width > (5 + 1 + 3) * 96
    assert height > 2 * 96
    with Image.open(folder / "ascent.gif") as animation:
        assert getattr(animation, "n_frames", 1) > 2
    assert [path.name for path in folder.parent.iterdir()] == ["group"]


def test_the_figures_are_those_of_the_designs(about: dict[str, Any], designer: Designer) -> None:
    designs = designer.design_for(Audience.group(GROUP), "shoe", seed=4, num_designs=2)
    assert (about["audience"]["user_ids"], about["category"], about["seed"]) == (list(GROUP), "shoe", 4)
    assert about["options"]["num_steps"] == designer.options.num_steps
    for number, design in enumerate(about["designs"]):
        assert design["preference"] == pytest.approx(designs.preferences[0, number], abs=1e-3)
        assert design["initial_preference"] == pytest.approx(designs.initial_preferences[0, number], abs=1e-3)
        assert design["realism"] == pytest.approx(designs.realism_logits[0, number], abs=1e-3)
        assert [len(values) for values in design["history"].values()] == [7, 7, 7]


def test_members_and_a_second_recommender_score_the_written_image(about: dict[str, Any]) -> None:
    """The group's preference is the mean of its members'; rounding to 8 bits costs little."""
    for design in about["designs"]:
        assert set(design["members"]) == set(GROUP)
        assert design["preference"] == pytest.approx(sum(design["members"].values()) / 3, abs=0.1)
        assert design["second_preference"] == pytest.approx(design["preference"], abs=0.1)
        assert design["second_initial_preference"] == pytest.approx(design["initial_preference"], abs=0.1)


def test_the_nearest_items_are_real_ones_of_the_category(
    about: dict[str, Any], checkerboard_dataset: PreparedDataset
) -> None:
    items = checkerboard_dataset.items
    for design in about["designs"]:
        for key in ("nearest_items", "nearest_items_by_embedding"):
            ids = [neighbour["item_id"] for neighbour in design[key]]
            distances = [neighbour["distance"] for neighbour in design[key]]
            assert len(set(ids)) == 3
            assert distances == sorted(distances)
            assert {items.categories[items.category_ids[item]] for item in items.indices(ids)} == {"shoe"}
        assert design["novelty"] >= 0


def test_designs_are_not_overwritten_unless_requested(
    folder: Path, designer: Designer, checkerboard_dataset: PreparedDataset, tiny_run: Run
) -> None:
    before = (folder / "designs.json").read_bytes()
    with pytest.raises(OutputExistsError, match="--if-exists overwrite"):
        write_designs(designer, folder, Audience.user("u0"), category="shirt", dataset=checkerboard_dataset)
    assert (folder / "designs.json").read_bytes() == before
