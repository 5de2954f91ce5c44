from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.output.folder import write_designs
from tfdvbpr.errors import OutputExistsError, RunError, UnknownIdError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.training.recommender.train import train_recommender


@pytest.fixture(scope="module")
def folder(designer: Designer, checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("designs") / "u1"
    write_designs(designer, output, user_id="u1", category="shoe", dataset=checkerboard_dataset, seed=4, count=2)
    return output


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((folder / "designs.json").read_text(encoding="utf-8"))
    return answer


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_folder_holds_pictures_grid_and_figures(folder: Path, designer: Designer) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["design_01.png", "design_02.png", "designs.json", "grid.png", "latents.npy", "path.gif"]
    assert _pixels(folder / "design_01.png").shape == (32, 32, 3)
    height, width, _ = _pixels(folder / "grid.png").shape
    assert width > (5 + 1 + 3) * 96
    assert height > 2 * 96
    assert [path.name for path in folder.parent.iterdir()] == ["u1"]


def test_the_figures_are_those_of_the_designs(told: dict[str, Any], designer: Designer) -> None:
    designs = designer.design(["u1"], ["shoe"], seeds=[4])
    assert (told["user_id"], told["category"], told["seed"]) == ("u1", "shoe", 4)
    assert told["options"]["num_steps"] == designer.options.num_steps
    for number, design in enumerate(told["designs"]):
        assert design["preference"] == pytest.approx(designs.preferences[0, number], abs=1e-3)
        assert design["initial_preference"] == pytest.approx(designs.initial_preferences[0, number], abs=1e-3)
        assert design["realism"] == pytest.approx(designs.realism_logits[0, number], abs=1e-3)


def test_a_written_picture_scores_as_told(folder: Path, told: dict[str, Any], tiny_run: Run) -> None:
    """Read back from the PNG and scored anew; rounding to 8 bits costs little."""
    user = tiny_run.factors.user_embeddings[tiny_run.user_indices(["u1"])]
    for design in told["designs"]:
        images = _pixels(folder / design["file"])[None].astype(np.float32) / 127.5 - 1.0
        embedding = tiny_run.recommender.embed_images(images).numpy()
        assert float((user @ embedding.T).item()) == pytest.approx(design["preference"], abs=0.02)


def test_the_nearest_items_are_real_ones_of_the_category(
    told: dict[str, Any], checkerboard_dataset: PreparedDataset
) -> None:
    items = checkerboard_dataset.items
    for design in told["designs"]:
        ids = [neighbour["item_id"] for neighbour in design["nearest_items"]]
        distances = [neighbour["distance"] for neighbour in design["nearest_items"]]
        assert len(set(ids)) == 3
        assert distances == sorted(distances)
        assert {items.categories[items.category_ids[item]] for item in items.indices(ids)} == {"shoe"}


def test_designs_are_not_overwritten_unasked(
    folder: Path, designer: Designer, checkerboard_dataset: PreparedDataset
) -> None:
    before = (folder / "designs.json").read_bytes()
    with pytest.raises(OutputExistsError, match="--if-exists overwrite"):
        write_designs(designer, folder, user_id="u0", category="shirt", dataset=checkerboard_dataset)
    assert (folder / "designs.json").read_bytes() == before


def test_only_dvbpr_designs(checkerboard_dataset: PreparedDataset, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")
    with pytest.raises(RunError, match=r"needs a dvbpr run.*is a popularity run\. Train --model dvbpr"):
        Designer(run, tiny_gan_run)


def test_unknown_names_get_the_nearest_known_ones(designer: Designer) -> None:
    with pytest.raises(UnknownIdError, match=r"`user` must be one of the 8 known ids\. Received 'u_1'\. Nearest: 'u1'"):
        designer.design(["u0", "u_1"], ["shirt", "shirt"], seeds=[0, 0])
    with pytest.raises(UnknownIdError, match=r"`category` must be.*Received 'shoes'\. Nearest: 'shoe'"):
        designer.design(["u0"], ["shoes"], seeds=[0])


def test_a_taste_without_a_user(designer: Designer) -> None:
    """A user's own θ gives the user's own designs."""
    taste = designer.run.factors.user_embeddings[3:4]
    named = designer.design(["u3"], ["shirt"], seeds=[1])
    np.testing.assert_array_equal(designer.design_for_tastes(taste, ["shirt"], seeds=[1]).images, named.images)
