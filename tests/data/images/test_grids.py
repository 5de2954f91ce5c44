from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tfdvbpr.data.images.grids import image_grid, write_animation
from tfdvbpr.fonts import text_width

RED, BLUE = (255, 0, 0), (0, 0, 255)
WHITE = (255, 255, 255)


def _plain(colour: tuple[int, int, int], height: int = 8, width: int = 4) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def test_cells_keep_their_aspect_and_stand_in_order() -> None:
    """Two rows, the longer of three cells 48 wide and 96 high, with 6 pixels between and before them."""
    grid = image_grid([[_plain(RED), _plain(BLUE)], [_plain(BLUE), None, _plain(RED)]])
    assert grid.size == (6 + 3 * (48 + 6), 6 + 2 * (96 + 6))
    pixels = np.asarray(grid)
    centres = [[tuple(pixels[54 + 102 * row, 30 + 54 * column]) for column in range(3)] for row in range(2)]
    assert centres == [[RED, BLUE, WHITE], [BLUE, WHITE, RED]]
    assert tuple(pixels[2, 2]) == WHITE


def test_cell_height() -> None:
    assert image_grid([[_plain(RED, 10, 20)]], cell_height=50).size == (6 + 106, 6 + 56)


def test_titles_are_written_beside_and_above_the_images() -> None:
    rows = [[_plain(RED)], [_plain(BLUE)]]
    plain = image_grid(rows)
    titled = image_grid(rows, column_titles=["design"], row_titles=["first", "second"])
    left, top = titled.width - plain.width, titled.height - plain.height
    assert left > 20
    assert top > 10
    pixels = np.asarray(titled)
    np.testing.assert_array_equal(pixels[top + 6 :, left + 6 :], np.asarray(plain)[6:, 6:])
    assert (pixels[: top + 6, left:] < 128).all(axis=-1).any()
    for row in range(2):
        margin = pixels[top + 6 + 102 * row :][:96, : left + 6]
        assert (margin < 128).all(axis=-1).any()


def _inked(pixels: npt.NDArray[np.uint8]) -> list[int]:
    """Columns in which something dark is drawn."""
    return np.flatnonzero((pixels < 160).all(axis=-1).any(axis=0)).tolist()


def test_captions_stay_below_their_own_image() -> None:
    """Narrow images get columns wide enough for a short text; a long one is wrapped, then cut."""
    white = _plain(WHITE, 96, 48)
    short = image_grid([[white, white]], captions=[["realism +1.23", ""]])
    assert short.width == 6 + 2 * (text_width("realism +1.23", 10) + 6)
    long = image_grid([[white, white]], captions=[["a dress of " * 30, "below"]])
    assert long.width == 6 + 2 * (104 + 6)
    assert long.height == 6 + 96 + 6 + 3 * 14 + 6
    pixels = np.asarray(long)[6 + 96 :]
    assert max(column for column in _inked(pixels) if column < 6 + 104 + 6) < 6 + 104
    assert min(column for column in _inked(pixels) if column >= 6 + 104) >= 6 + 104 + 6
    one_word = image_grid([[white]], captions=[["x" * 200 + "\nsecond"]])
    assert one_word.height == 6 + 96 + 6 + 2 * 14 + 6


def test_a_column_title_runs_over_columns_without_one() -> None:
    white = _plain(WHITE, 96, 48)
    over = image_grid([[white] * 4], column_titles=["a title of three columns", "", "", "last"])
    alone = image_grid([[white] * 4], column_titles=["a title of three columns", "b", "c", "last"])
    assert over.width < alone.width
    assert alone.width == 6 + 4 * (104 + 6)


def test_an_image_of_another_aspect_is_centred() -> None:
    grid = np.asarray(image_grid([[_plain(RED, 20, 20), _plain(BLUE, 20, 5)]]))
    second = grid[6:102, 6 + 102 :]
    assert tuple(second[48, 48]) == BLUE
    assert tuple(second[48, 10]) == WHITE


@pytest.mark.parametrize("kind", ["gif", "png"])
def test_an_animation_runs_forth_and_back(tmp_path: Path, kind: str) -> None:
    """Three frames and the middle one again, padded to the width of the longest caption."""
    frames = np.stack([np.stack([_plain(RED), _plain(colour)]) for colour in (RED, WHITE, BLUE)])
    path = tmp_path / f"animation.{kind}"
    write_animation(path, frames, captions=["short", "a caption wider than the images by far", ""])
    with Image.open(path) as animation:
        assert getattr(animation, "n_frames", 1) == 4
        assert animation.width > 2 * 54
