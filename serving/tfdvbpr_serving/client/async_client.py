"""The thin client for asyncio: the same questions and answers as client.py, awaited."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client import answers, design_questions, questions
from tfdvbpr_serving.client.arguments import id_list
from tfdvbpr_serving.client.async_connection import AsyncConnection
from tfdvbpr_serving.client.channels import ChannelSettings
from tfdvbpr_serving.client.client_base import ClientBase
from tfdvbpr_serving.client.design_questions import Climb
from tfdvbpr_serving.client.questions import Image, Question, Rows
from tfdvbpr_serving.client.results import (
    Design,
    GeneratedImage,
    ImageScores,
    ModelMetadata,
    ModelVersion,
    Recommendation,
    Scores,
    SimilarItems,
    TailoredImage,
)
from tfdvbpr_serving.protocol import wire

T = TypeVar("T")


class AsyncClient(ClientBase):
    """`Client` for asyncio: the same settings and methods, to be awaited; see there for arguments and errors.

    Make it inside the event loop that uses it. Cancelling a task cancels its call, and the server stops working on it.
    Many rows are sent as several requests, one after the other: two callers are served in turns.
    """

    def _open(self, settings: ChannelSettings) -> None:
        self._connection = AsyncConnection(settings)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way are cancelled, on the server as well."""
        await self._connection.close()

    async def score(
        self, user_ids: Sequence[str], item_ids: Sequence[str] | Rows, *, allow_unknown: bool = False
    ) -> Scores:
        """See `Client.score`."""
        return await self._ask(questions.score(user_ids, item_ids, allow_unknown=allow_unknown))

    async def score_images(
        self, user_ids: Sequence[str], images: Sequence[Image], *, allow_unknown: bool = False
    ) -> ImageScores:
        """See `Client.score_images`."""
        return await self._ask(questions.score_images(user_ids, images, allow_unknown=allow_unknown))

    async def recommend(
        self,
        user_ids: Sequence[str],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_seen: bool = True,
        allow_unknown: bool = False,
    ) -> tuple[Recommendation, ...]:
        """See `Client.recommend`."""
        return await self._ask(
            questions.recommend(
                user_ids,
                k=k,
                category=category,
                exclude_items=exclude_items,
                exclude_seen=exclude_seen,
                allow_unknown=allow_unknown,
            )
        )

    async def recommend_for_items(
        self,
        liked_items: Rows,
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_liked: bool = True,
        allow_unknown: bool = False,
    ) -> tuple[Recommendation, ...]:
        """See `Client.recommend_for_items`."""
        return await self._ask(
            questions.recommend_for_items(
                liked_items,
                k=k,
                category=category,
                exclude_items=exclude_items,
                exclude_liked=exclude_liked,
                allow_unknown=allow_unknown,
            )
        )

    async def similar_items(
        self,
        item_ids: Sequence[str],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[SimilarItems, ...]:
        """See `Client.similar_items`."""
        return await self._ask(questions.similar_items(item_ids, k=k, category=category, allow_unknown=allow_unknown))

    async def similar_images(
        self,
        images: Sequence[Image],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[SimilarItems, ...]:
        """See `Client.similar_images`."""
        return await self._ask(questions.similar_images(images, k=k, category=category, allow_unknown=allow_unknown))

    async def embed_images(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """See `Client.embed_images`."""
        return await self._ask(questions.embed_images(images))

    async def design(
        self,
        user_ids: Sequence[str] | None,
        category: str | Sequence[str],
        *,
        liked_items: Rows | None = None,
        num_designs: int | None = None,
        num_steps: int | None = None,
        seeds: int | Sequence[int] = 0,
        realism_weight: float | Sequence[float] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[Design, ...]:
        """See `Client.design`."""
        climb = Climb(user_ids, liked_items, num_steps, seeds, realism_weight)
        return await self._ask(
            design_questions.design(category, num_designs=num_designs, climb=climb, allow_unknown=allow_unknown)
        )

    async def tailor(
        self,
        images: Sequence[Image],
        category: str | Sequence[str],
        *,
        user_ids: Sequence[str] | None = None,
        liked_items: Rows | None = None,
        strength: float | Sequence[float] | None = None,
        num_steps: int | None = None,
        seeds: int | Sequence[int] = 0,
        realism_weight: float | Sequence[float] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[TailoredImage, ...]:
        """See `Client.tailor`."""
        climb = Climb(user_ids, liked_items, num_steps, seeds, realism_weight)
        return await self._ask(
            design_questions.tailor(images, category, strength=strength, climb=climb, allow_unknown=allow_unknown)
        )

    async def generate(
        self, category: str | Sequence[str], *, seeds: int | Sequence[int] = 0, allow_unknown: bool = False
    ) -> tuple[GeneratedImage, ...]:
        """See `Client.generate`."""
        return await self._ask(design_questions.generate(category, seeds=seeds, allow_unknown=allow_unknown))

    async def model_status(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """See `Client.model_status`."""
        return await self._connection.status(wire.model_spec(self._spec(name).name))

    async def metadata(self, name: str | None = None) -> ModelMetadata:
        """See `Client.metadata`."""
        return await self._connection.metadata(self._spec(name))

    async def wait_until_ready(self, *, timeout_seconds: float = 60.0, models: Sequence[str] | None = None) -> None:
        """See `Client.wait_until_ready`."""
        specs = self._ready_specs(None if models is None else id_list("models", models))
        await self._connection.wait_until_ready(specs, timeout_seconds=timeout_seconds)

    async def _ask(self, question: Question[T]) -> T:
        max_rows, timeout = self._rows_and_timeout(question.signature)
        name = self._served_name(question.signature)
        spec = self._spec(name, signature=question.signature)
        parts = [
            await self._connection.predict(spec, chunk, timeout_seconds=timeout)
            for chunk in answers.chunks(question.inputs, max_rows=max_rows)
        ]
        return question.read(parts, name)
