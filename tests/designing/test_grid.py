from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.designing.output.grid import picture_grid

RED, BLUE = (255, 0, 0), (0, 0, 255)
WHITE = (255, 255, 255)


def _plain(colour: tuple[int, int, int], height: int = 8, width: int = 4) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def test_cells_keep_their_aspect_and_stand_in_order() -> None:
    """Two rows, the longer of three cells 48 wide and 96 high, with 6 pixels between and before them."""
    sheet = picture_grid([[_plain(RED), _plain(BLUE)], [_plain(BLUE), None, _plain(RED)]])
    assert sheet.size == (6 + 3 * (48 + 6), 6 + 2 * (96 + 6))
    pixels = np.asarray(sheet)
    centres = [[tuple(pixels[54 + 102 * row, 30 + 54 * column]) for column in range(3)] for row in range(2)]
    assert centres == [[RED, BLUE, WHITE], [BLUE, WHITE, RED]]
    assert tuple(pixels[2, 2]) == WHITE


def test_cell_height() -> None:
    assert picture_grid([[_plain(RED, 10, 20)]], cell_height=50).size == (6 + 106, 6 + 56)


def test_titles_are_written_beside_and_above_the_pictures() -> None:
    rows = [[_plain(RED)], [_plain(BLUE)]]
    plain = picture_grid(rows)
    titled = picture_grid(rows, column_titles=["design"], row_titles=["first", "second"])
    left, top = titled.width - plain.width, titled.height - plain.height
    assert left > 20
    assert top > 10
    pixels = np.asarray(titled)
    np.testing.assert_array_equal(pixels[top + 6 :, left + 6 :], np.asarray(plain)[6:, 6:])
    assert (pixels[: top + 6, left:] < 128).all(axis=-1).any()
    for row in range(2):
        margin = pixels[top + 6 + 102 * row :][:96, : left + 6]
        assert (margin < 128).all(axis=-1).any()
