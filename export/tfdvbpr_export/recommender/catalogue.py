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
from tfdvbpr_export.retrieval import indexes
from tfdvbpr_export.retrieval.filters import ItemFilters
from tfdvbpr_export.retrieval.indexes import EmbeddingTable, Ids, Index
from tfdvbpr_export.retrieval.ranking import Ranking
from tfdvbpr_export.retrieval.search import ExactSearch

RECALL_K = 100


class ServedCatalogue(tf.Module):
    """Items by id, with a bias as one more column where the model has biases, so that a score is one dot product.

    `ConfigError` if ScaNN is requested and not installed.
    """

    def __init__(self, run: Run, options: RecommenderOptions) -> None:
        super().__init__()
        factors, items = run.factors, run.items
        self.ids, self.categories = Ids(items.item_ids), Ids(items.categories)
        self.has_biases = bool(factors.item_biases.any())
        biases = factors.item_biases[:, None]
        matrix = np.hstack([factors.item_embeddings, biases]) if self.has_biases else factors.item_embeddings
        library = indexes.recommenders_library()
        index = None
        if options.quantize != "none":
            unquantized = biases if self.has_biases else None
            self.table = EmbeddingTable(
                factors.item_embeddings, "items", quantize=options.quantize, unquantized=unquantized
            )
        elif options.retrieval == "scann" or library is None:
            self.table = EmbeddingTable(matrix, "items")
        else:
            index = indexes.brute_force(library, matrix)
            self.table = EmbeddingTable.of_variable(index.layer._candidates)
        self.visual_dim = run.visual_item_embeddings.shape[1]
        search = ExactSearch(
            self.table, items.category_ids, num_categories=len(items.categories), cosine_dim=self.visual_dim
        )
        if search.equal_items is not None:
            index = None  # the layer of TFRS would leave the order of equal items to the kernel
        if options.retrieval == "scann":
            index = indexes.scann(library, matrix, options.scann.resolved(len(items)))
        self.needs = index.needs if index else ()
        filters = ItemFilters(dict(options.filters), items.table)
        self.ranking = Ranking(self.ids, self.categories, search, index, max_k=options.max_k, filters=filters)
        # Not a plain dict, which would be tracked and saved.
        self.about = MappingProxyType(self._about(run, options, index, matrix))

    def queries(self, users: Any) -> Any:
        """float32 [B, D]: user embeddings as the rows of the table are multiplied by."""
        return tf.pad(users, [[0, 0], [0, 1]], constant_values=1.0) if self.has_biases else users

    def scores(self, users: Any, item_ids: Any) -> tuple[Any, Any]:
        """x̂ of string [B, N] items for users, float32 [B, D]; -inf where unknown, and whether each is known."""
        rows, known = self.ids.rows(item_ids)
        embeddings = self.table.gather(tf.where(known, rows, 0))  # [B, N, D]
        scores = tf.einsum("bd,bnd->bn", self.queries(users), embeddings)
        return tf.where(known, scores, -float("inf")), known

    def embeddings(self, rows: Any) -> Any:
        """float32 [B, C]: Φ of known items, int32 [B]."""
        return self.table.gather(rows)[:, : self.visual_dim]

    def similar(
        self, embeddings: Any, k: Any, categories: Any, excluded: Any, *, answered: Any = True
    ) -> dict[str, Any]:
        """The items nearest by cosine to embeddings, float32 [B, C]; see `Ranking`."""
        normalized = tf.math.l2_normalize(embeddings, axis=1, epsilon=1e-24)
        queries = tf.pad(normalized, [[0, 0], [0, self.table.width - self.visual_dim]])
        best = self.ranking(queries, k, categories, excluded, cosine=True, answered=answered)
        return {"similarities": best.pop("scores"), **best}

    def _about(self, run: Run, options: RecommenderOptions, index: Index | None, matrix: Array) -> dict[str, Any]:
        """The manifest's part on retrieval: which, in how many bits, and its recall against the exact answer."""
        about: dict[str, Any] = {"kind": options.retrieval, "quantize": options.quantize, "needs": list(self.needs)}
        if options.quantize != "none" or options.retrieval == "scann":
            sample = indexes.sampled_queries(run.factors.user_embeddings)
            queries = self.queries(tf.constant(sample)).numpy()
            k = min(RECALL_K, len(matrix), index.most if index and index.most else RECALL_K)
            search = index.layer if index else self._search
            about |= {"recall": round(indexes.recall(queries, matrix, search, k=k), 4), "recall_k": k}
            about["recall_users"] = len(queries)
        if options.retrieval == "scann":
            about["scann"] = asdict(options.scann.resolved(len(matrix)))
        return about

    def _search(self, queries: Any, k: int) -> tuple[Any, Any]:
        return self.ranking.search(queries, tf.fill([tf.shape(queries)[0]], -1), tf.constant(k))
