from __future__ import annotations

import numpy as np

from tfdvbpr.data.chunks import map_chunks


def test_chunks_are_bounded_and_joined_in_order() -> None:
    sizes: list[int] = []
    calls: list[tuple[int, int]] = []

    def total(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return rows.sum(axis=1) + others

    table, other = np.arange(14.0).reshape(7, 2), np.arange(7.0)
    found = map_chunks(total, table, other, chunk_rows=3, progress=lambda *call: calls.append(call))
    np.testing.assert_array_equal(found, table.sum(axis=1) + other)
    assert sizes == [3, 3, 1]
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_no_rows_have_the_shape_of_the_answer() -> None:
    assert map_chunks(lambda rows: rows @ np.ones((2, 5)), np.zeros((0, 2)), chunk_rows=4).shape == (0, 5)
