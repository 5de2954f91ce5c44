"""`Client` and `AsyncClient`: strings and NumPy arrays in and out, no TensorFlow in the process.

A method is written once, as a coroutine; see `base.method`. Those of the designer are in designer.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client.arguments import (
    Image,
    Rows,
    id_list,
    id_rows,
    image_files,
    per_row,
    shared_or_own_rows,
    whole_numbers,
)
from tfdvbpr_serving.client.base import finished, method
from tfdvbpr_serving.client.designer import DesignerMethods
from tfdvbpr_serving.client.model_info import ModelMetadata, ModelVersion, read_metadata
from tfdvbpr_serving.client.responses import ImageScores, Recommendations, Scores, SimilarItems
from tfdvbpr_serving.errors import DeadlineError, ServingError
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import GetModelMetadataRequest

Categories = str | Sequence[str] | None
Counts = int | Sequence[int]


class ClientMethods(DesignerMethods):
    """Calls the recommender and the designer on a server of the TensorFlow Serving protocol.

    Every method takes one user, item, image or category a row; many rows are sent as several requests, one after the
    other. Every method raises `ValueError` for invalid arguments before anything is sent; `IdsNotFoundError` for ids
    that the model does not know, unless `allow_unknown=True` asks for the model's fallback and flags; and another
    `ServingError` if the call fails. A category is None for the whole catalogue, one name for all rows, or one a row.
    Images are whole JPEG or PNG files: their bytes, or paths to read.
    """

    @method
    async def score(
        self, user_ids: Sequence[str], item_ids: Sequence[str] | Rows, *, allow_unknown: bool = False
    ) -> Scores:
        """The score x̂_ui of items for users.

        Args:
            user_ids: one a row.
            item_ids: a flat list, scored for every user; or a list of lists, one a user, of any lengths.
            allow_unknown: True scores unknown users with the mean user embedding and gives unknown items -inf.
        """
        users = id_list("user_ids", user_ids)
        items = shared_or_own_rows("item_ids", item_ids, num_rows=len(users))
        rows = await self._predict("score", len(users), allow_unknown=allow_unknown, user_ids=users, item_ids=items)
        return Scores.from_rows(users, items, rows)

    @method
    async def score_images(
        self, user_ids: Sequence[str], images: Sequence[Image], *, allow_unknown: bool = False
    ) -> ImageScores:
        """The score of images for users, by their features alone; they need not be in the catalogue.

        Args:
            user_ids: one a row.
            images: one a row.
            allow_unknown: True scores unknown users with the mean user embedding.
        """
        files = image_files(images)
        users = per_row("user_ids", id_list("user_ids", user_ids), num_rows=len(files))
        rows = await self._predict(
            "score_images", len(files), allow_unknown=allow_unknown, user_ids=users, image_bytes=files
        )
        scores, known = (np.array([row[name] for row in rows]) for name in ("scores", "known_users"))
        return ImageScores(users, scores, known)

    @method
    async def recommend(
        self,
        user_ids: Sequence[str],
        *,
        k: Counts = 10,
        category: Categories = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_seen: bool = True,
        filters: Sequence[str] | Rows | None = None,
        allow_unknown: bool = False,
    ) -> tuple[Recommendations, ...]:
        """The best items of the catalogue for each user, best first.

        Args:
            user_ids: one a row.
            k: the number of items, one for all or one a row; cut at the model's limit and the catalogue.
            category: of the items.
            exclude_items: items to leave out: a flat list for all rows, or one list a row. Unknown ids are no error.
            exclude_seen: leaves out the items of the user's interactions.
            filters: names of filters that the model was exported with, all of which an item must pass: a flat list for
                all rows, or one list a row.
            allow_unknown: True ranks with the mean user embedding for unknown users, and returns no items for an
                unknown category.
        """
        users = id_list("user_ids", user_ids)
        count = len(users)
        categories = _categories(category, num_rows=count)
        rows = await self._predict(
            "recommend",
            count,
            allow_unknown=allow_unknown,
            user_ids=users,
            k=whole_numbers("k", k, num_rows=count),
            categories=categories,
            exclude_item_ids=_excluded(exclude_items, num_rows=count),
            exclude_seen=np.full(count, exclude_seen, dtype=np.bool_),
            filters=_filters(filters, num_rows=count),
        )
        return tuple(map(Recommendations.from_row, users, categories, rows))

    @method
    async def recommend_for_items(
        self,
        liked_items: Rows,
        *,
        k: Counts = 10,
        category: Categories = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_liked: bool = True,
        filters: Sequence[str] | Rows | None = None,
        allow_unknown: bool = False,
    ) -> tuple[Recommendations, ...]:
        """The best items for new users, from items that they like.

        Args:
            liked_items: one list of item ids a user.
            k: the number of items, one for all or one a row.
            category: of the items.
            exclude_items: items to leave out: a flat list for all rows, or one list a row. Unknown ids are no error.
            exclude_liked: leaves out the liked items themselves.
            filters: as of `recommend`.
            allow_unknown: True ignores unknown liked items, and ranks with the mean user embedding if none is known.
        """
        liked = id_rows("liked_items", liked_items)
        count = len(liked)
        categories = _categories(category, num_rows=count)
        rows = await self._predict(
            "recommend_for_items",
            count,
            allow_unknown=allow_unknown,
            liked_item_ids=liked,
            k=whole_numbers("k", k, num_rows=count),
            categories=categories,
            exclude_item_ids=_excluded(exclude_items, num_rows=count),
            exclude_liked=np.full(count, exclude_liked, dtype=np.bool_),
            filters=_filters(filters, num_rows=count),
        )
        return tuple(map(Recommendations.from_row, [""] * count, categories, rows))

    @method
    async def similar_items(
        self, item_ids: Sequence[str], *, k: Counts = 10, category: Categories = None, allow_unknown: bool = False
    ) -> tuple[SimilarItems, ...]:
        """The catalogue items whose embeddings are most similar to each item's, the item itself left out.

        Args:
            item_ids: one a row.
            k: the number of items, one for all or one a row.
            category: of the similar items.
            allow_unknown: True returns no items for unknown items and categories.
        """
        items = id_list("item_ids", item_ids)
        categories = _categories(category, num_rows=len(items))
        rows = await self._predict(
            "similar_items",
            len(items),
            allow_unknown=allow_unknown,
            query_item_ids=items,
            k=whole_numbers("k", k, num_rows=len(items)),
            categories=categories,
        )
        return tuple(map(SimilarItems.from_row, items, categories, rows))

    @method
    async def similar_images(
        self, images: Sequence[Image], *, k: Counts = 10, category: Categories = None, allow_unknown: bool = False
    ) -> tuple[SimilarItems, ...]:
        """The catalogue items whose embeddings are most similar to each image's.

        Args:
            images: one a row.
            k: the number of items, one for all or one a row.
            category: of the similar items.
            allow_unknown: True returns no items for an unknown category.
        """
        files = image_files(images)
        categories = _categories(category, num_rows=len(files))
        rows = await self._predict(
            "similar_images",
            len(files),
            allow_unknown=allow_unknown,
            image_bytes=files,
            k=whole_numbers("k", k, num_rows=len(files)),
            categories=categories,
        )
        return tuple(map(SimilarItems.from_row, [""] * len(files), categories, rows))

    @method
    async def embed_images(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Φ(X): the embeddings of images, which need not be in the catalogue.

        Returns:
            float32 [B, embedding_dim].
        """
        files = image_files(images)
        rows = await self._predict("embed_images", len(files), image_bytes=files)
        return np.stack([row["embeddings"] for row in rows])

    @method
    async def model_status(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """The versions of a model that the server knows of, newest first; of the recommender if no name is given."""
        return await self._status(self._spec(name))

    @method
    async def metadata(self, name: str | None = None) -> ModelMetadata:
        """The served version of a model and its signatures; of the recommender if no name is given."""
        request = GetModelMetadataRequest(model_spec=self._spec(name), metadata_field=["signature_def"])
        return read_metadata(await self._call(messages.GET_MODEL_METADATA, request, what="metadata"))

    @method
    async def wait_until_ready(self, *, timeout_seconds: float = 60.0, models: Sequence[str] | None = None) -> None:
        """Waits until every model has an available version.

        Args:
            timeout_seconds: for all models together.
            models: served names; None for both the recommender and the designer.

        Raises:
            DeadlineError: if it takes longer; the message says why.
        """
        end = time.monotonic() + timeout_seconds
        names = tuple(self._names.values()) if models is None else id_list("models", models)
        waiting = [self._spec(name) for name in names]
        reason = ""
        while waiting:
            left = end - time.monotonic()
            if left <= 0:
                model = waiting[0].name
                raise DeadlineError(f"{model!r} must be ready at {self.target} within {timeout_seconds:g} s. {reason}")
            try:
                states = [v.state for v in await self._status(waiting[0], timeout_seconds=min(left, 5.0))]
                reason = f"Received states {states}. Wait longer, or see the server's log."
            except ServingError as error:
                states, reason = [], str(error)
            if "AVAILABLE" in states:
                waiting.pop(0)
            else:
                await self._transport.sleep(min(0.1, max(0.0, end - time.monotonic())))


class Client(ClientMethods):
    """The blocking client. Safe to share between threads; close it, or use it in a `with` statement.

    Its settings are those of `ClientBase`.

    Example:
        >>> with Client("localhost:8500") as client:  # doctest: +SKIP
        ...     client.recommend(["u1"], k=5)[0].item_ids
    """

    blocks: ClassVar[bool] = True

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; its calls are cancelled, on the server as well."""
        finished(self._transport.close())


class AsyncClient(ClientMethods):
    """The client for asyncio: the same settings and methods, to be awaited.

    Make it inside the event loop that uses it. Cancelling a task cancels its call, and the server stops its work.
    """

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; its calls are cancelled, on the server as well."""
        await self._transport.close()


def _categories(category: Categories, *, num_rows: int) -> tuple[str, ...]:
    """One category a row; "" for all of them."""
    return ("",) * num_rows if category is None else per_row("category", category, num_rows=num_rows)


def _filters(names: Sequence[str] | Rows | None, *, num_rows: int) -> tuple[tuple[str, ...], ...] | None:
    if names is None or (not isinstance(names, str) and len(names) == 0):
        return None
    return shared_or_own_rows("filters", names, num_rows=num_rows, may_be_empty=True)


def _excluded(ids: Sequence[str] | Rows | None, *, num_rows: int) -> tuple[tuple[str, ...], ...] | None:
    if ids is None or not len(ids):
        return None
    return shared_or_own_rows("exclude_items", ids, num_rows=num_rows, may_be_empty=True)
