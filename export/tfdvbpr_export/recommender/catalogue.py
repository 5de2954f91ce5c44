"""The catalogue of an exported recommender: its items as tables, and what searches them. Imports TensorFlow."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.run import Run
from tfdvbpr_export.options import RecommenderOptions
from tfdvbpr_export.recommender.lookup import Ids
from tfdvbpr_export.recommender.ranking import Ranking
from tfdvbpr_export.recommender.table import Table
from tfdvbpr_export.retrieval import indexes
from tfdvbpr_export.retrieval.search import ExactSearch

RECALL_K = 100


class ServedCatalogue(tf.Module):
    """Items by id, with a bias as one more column where the model has biases, so that a score is one dot product.

    Args:
        run: of any model.
        options: index, bits, limits.

    Raises:
        ConfigError: if ScaNN is asked for and not installed.
    """

    def __init__(self, run: Run, options: RecommenderOptions) -> None:
        super().__init__()
        factors, items = run.factors, run.items
        self.ids, self.categories = Ids(items.item_ids), Ids(items.categories)
        self.has_biases = bool(factors.item_biases.any())
        biases = factors.item_biases[:, None]
        matrix = np.hstack([factors.item_embeddings, biases]) if self.has_biases else factors.item_embeddings
        library = indexes.recommenders_library()
        self.needs: tuple[str, ...] = ()
        index = None
        if options.quantize != "none":
            whole = biases if self.has_biases else None
            self.table = Table(factors.item_embeddings, "items", quantize=options.quantize, whole=whole)
        elif options.retrieval == "scann" or library is None:
            self.table = Table(matrix, "items")
            index = indexes.matrix_product(self.table)
        else:
            index = indexes.brute_force(library, matrix)
            self.table = Table.of_variable(index.layer._candidates)
        if options.retrieval == "scann":
            scann_options = options.scann.resolved(len(items))
            index = indexes.scann(library, matrix, scann_options)
        self.ranking = Ranking(
            self.ids,
            self.categories,
            ExactSearch(self.table, items.category_ids, num_categories=len(items.categories)),
            index,
            max_k=options.max_k,
        )
        # Of the numbers as they are kept, so that an item is exactly as long as the search finds it.
        looks = self.table.numpy()[:, : run.visual_item_embeddings.shape[1]]
        lengths = np.linalg.norm(looks, axis=1)
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self.inverse_lengths = tf.Variable(inverse.astype(np.float32), trainable=False, name="inverse_lengths")
        self.looks_dim = looks.shape[1]
        # Not a plain dict, which would be tracked and saved.
        self.about = MappingProxyType(self._about(run, options, index, matrix))

    def queries(self, tastes: Any) -> Any:
        """float32 [B, D]: tastes as rows of the table are met by them."""
        return tf.pad(tastes, [[0, 0], [0, 1]], constant_values=1.0) if self.has_biases else tastes

    def scores(self, tastes: Any, item_ids: Any) -> tuple[Any, Any]:
        """x̂ of string [B, N] items for tastes, float32 [B, D]; -inf where unknown, and whether each is known."""
        rows, known = self.ids.rows(item_ids)
        embeddings = self.table.gather(tf.where(known, rows, 0))  # [B, N, D]
        scores = tf.einsum("bd,bnd->bn", self.queries(tastes), embeddings)
        return tf.where(known, scores, -float("inf")), known

    def looks(self, rows: Any) -> Any:
        """float32 [B, C]: Φ of known items, int32 [B]."""
        return self.table.gather(rows)[:, : self.looks_dim]

    def alike(self, looks: Any, k: Any, categories: Any, excluded: Any, *, answered: Any = True) -> dict[str, Any]:
        """The items nearest by cosine to looks, float32 [B, C]; see `Ranking`."""
        lengths = tf.math.l2_normalize(looks, axis=1, epsilon=1e-24)
        queries = tf.pad(lengths, [[0, 0], [0, self.table.width - self.looks_dim]])
        best = self.ranking(queries, k, categories, excluded, item_scales=self.inverse_lengths, answered=answered)
        return {"similarities": best.pop("scores"), **best}

    def _about(self, run: Run, options: RecommenderOptions, index: Any, matrix: Array) -> dict[str, Any]:
        """How items are found, and how much of the exact answer that is."""
        told: dict[str, Any] = {"kind": options.retrieval, "quantize": options.quantize, "needs": []}
        if options.quantize != "none" or options.retrieval == "scann":
            sample = indexes.sampled_queries(run.factors.user_embeddings)
            queries = self.queries(tf.constant(sample)).numpy()
            k = min(RECALL_K, len(matrix), index.most if index and index.most else RECALL_K)
            found = index.layer if index else self._searched
            told |= {"recall": round(indexes.recall(queries, matrix, found, k=k), 4), "recall_k": k}
            told["recall_users"] = len(queries)
        if options.retrieval == "scann":
            self.needs = index.needs
            told |= {"needs": list(index.needs), "scann": asdict(options.scann.resolved(len(matrix)))}
        return told

    def _searched(self, queries: Any, k: int) -> tuple[Any, Any]:
        return self.ranking.search(queries, tf.fill([tf.shape(queries)[0]], -1), tf.constant(k))
