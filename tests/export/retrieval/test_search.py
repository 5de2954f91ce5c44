"""Exact search: ties, categories, cosines, and kernels that score equal embeddings differently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr_export.retrieval.indexes import EmbeddingTable
from tfdvbpr_export.retrieval.search import ExactSearch, first_equal

NUM_CATEGORIES = 3


@pytest.fixture(params=["this kernel", "a kernel that differs by column"])
def matmul(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's product, and one whose last bits depend on where an item is in it."""
    if request.param == "this kernel":
        return
    original = tf.matmul

    def product(first: Any, second: Any, *, transpose_b: bool) -> Any:
        result = original(first, second, transpose_b=transpose_b)
        rows, columns = (tf.range(size) for size in tf.unstack(tf.shape(result)))
        error = tf.cast((rows[:, None] * 7 + columns * 5) % 3 - 1, tf.float32)
        return result * (1.0 + 1e-7 * error)

    monkeypatch.setattr(tf, "matmul", product)


def _catalogue(num_items: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and categories; one in three items is a copy of an earlier one, of any category."""
    generator = np.random.default_rng(num_items + dim)
    items = generator.standard_normal((num_items, dim)).astype(np.float32)
    copies = generator.choice(np.arange(1, num_items), num_items // 3, replace=False)
    for copy in copies:
        items[copy] = items[generator.integers(copy)]
    return items, generator.integers(0, NUM_CATEGORIES, num_items).astype(np.int32)


@pytest.mark.usefixtures("matmul")
@pytest.mark.parametrize(
    ("num_items", "dim", "quantize"), [(5, 31, "none"), (17, 4, "none"), (17, 7, "int8"), (127, 4, "none")]
)
def test_equal_items_keep_the_order_of_the_catalogue(num_items: int, dim: int, quantize: Any) -> None:
    """TensorFlow without oneDNN gives equal columns different last bits at these sizes and one row."""
    items, categories = _catalogue(num_items, dim)
    table = EmbeddingTable(items, "items", quantize=quantize)
    search = ExactSearch(table, categories, num_categories=NUM_CATEGORIES, cosine_dim=dim)
    equal = first_equal(table.numpy())
    generator = np.random.default_rng(0)
    for batch in (1, 3, 64):
        queries = generator.standard_normal((batch, dim)).astype(np.float32)
        chosen = generator.integers(-1, NUM_CATEGORIES, batch).astype(np.int32)
        for cosine in (False, True):
            scores, rows = (part.numpy() for part in search(queries, chosen, num_items, cosine=cosine))
            for row, category in enumerate(chosen):
                own = np.flatnonzero((category < 0) | (categories == category))
                found, found_scores = rows[row, : len(own)], scores[row, : len(own)]
                assert sorted(found) == own.tolist()
                assert np.isneginf(scores[row, len(own) :]).all()
                lengths = np.linalg.norm(table.numpy(), axis=1) if cosine else np.ones(num_items)
                expected = table.numpy() @ queries[row] / np.maximum(lengths, 1e-12)
                np.testing.assert_allclose(found_scores, expected[found], rtol=1e-4, atol=1e-5)
                for group in set(equal[own].tolist()):
                    places = np.flatnonzero(equal[found] == group)
                    assert (np.diff(places) == 1).all(), "equal items are neighbours"
                    assert (np.diff(found[places]) > 0).all(), "in the order of the catalogue"
                    assert len(set(found_scores[places].tolist())) == 1


def test_a_catalogue_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal items in different blocks tie as well."""
    monkeypatch.setattr("tfdvbpr_export.retrieval.search._LEAST_ROWS", 8)
    monkeypatch.setattr("tfdvbpr_export.retrieval.search._BLOCK_SCORES", 8)
    items, categories = _catalogue(61, 4)
    search = ExactSearch(EmbeddingTable(items, "items"), categories, num_categories=NUM_CATEGORIES)
    queries = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    whole = queries @ items.T
    for category in (-1, 1):
        scores, rows = (part.numpy() for part in search(queries, np.full(3, category, np.int32), 9))
        for row in range(3):
            own = np.flatnonzero((category < 0) | (categories == category))
            first = first_equal(items)[own]
            expected = own[np.lexsort((own, -whole[row, first]))][:9]
            assert rows[row].tolist() == expected.tolist()
            np.testing.assert_allclose(scores[row], whole[row, expected], rtol=1e-5)


def test_different_items_are_scored_a_block_at_a_time() -> None:
    items = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    categories = np.zeros(20, np.int32)
    assert ExactSearch(EmbeddingTable(items, "items"), categories, num_categories=1).equal_items is None


def test_an_empty_category() -> None:
    items = np.ones((4, 2), np.float32)
    search = ExactSearch(EmbeddingTable(items, "items"), np.zeros(4, np.int32), num_categories=2)
    scores, _ = search(np.ones((1, 2), np.float32), np.array([1], np.int32), 2)
    assert np.isneginf(scores).all()
