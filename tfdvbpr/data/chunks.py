"""A function of rows, called a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


def map_chunks(
    function: Callable[..., Any],
    *arrays: npt.NDArray[Any],
    chunk_rows: int,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[Any]:
    """Concatenates `function` of consecutive chunks of rows, so that memory does not grow with the number of rows.

    Args:
        function: of the same rows of every array, to an array with as many rows; called once on no rows where there
            are none.
        arrays: [N, ...] each.
        chunk_rows: rows of a chunk, the last of which may be smaller.
        progress: called with (rows done, rows in total) after each chunk.

    Example:
        >>> map_chunks(lambda rows: rows * 2, np.arange(5), chunk_rows=2).tolist()
        [0, 2, 4, 6, 8]
    """
    num_rows, parts = len(arrays[0]), []
    for start in range(0, max(num_rows, 1), chunk_rows):
        parts.append(np.asarray(function(*(array[start : start + chunk_rows] for array in arrays))))
        if progress is not None:
            progress(min(start + chunk_rows, num_rows), num_rows)
    return np.concatenate(parts)
