"""A thin client of the served models: strings and NumPy arrays in and out, no TensorFlow in the process."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client import answers, design_questions, questions
from tfdvbpr_serving.client.arguments import id_list
from tfdvbpr_serving.client.channels import ChannelSettings, Tls
from tfdvbpr_serving.client.client_base import DEFAULT_MAX_ROWS_PER_REQUEST, ClientBase
from tfdvbpr_serving.client.connection import Connection
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

__all__ = ["DEFAULT_MAX_ROWS_PER_REQUEST", "Client", "Tls"]

T = TypeVar("T")


class Client(ClientBase):
    """Calls the recommender and the designer on a server of the TensorFlow Serving protocol.

    Safe to share between threads. Close it, or use it in a `with` statement. Many rows are sent as several requests,
    one after the other, and come back as one answer. The settings are those of `ClientBase`; `AsyncClient` has the same
    methods for asyncio.

    Every method raises `ValueError` for arguments that cannot be answered, before anything is sent; `UnknownIdError`
    for ids the model has never seen, unless `allow_unknown=True` asks for the model's fallback and flags; and another
    kind of `ServingError` if the call fails. A category is None for the whole catalogue, one name for all rows, or one
    a row. Images are whole JPEG or PNG files: their bytes, or paths to read here.
    """

    def _open(self, settings: ChannelSettings) -> None:
        self._connection = Connection(settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls under way are cancelled, on the server as well."""
        self._connection.close()

    def score(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str] | Rows,
        *,
        allow_unknown: bool = False,
    ) -> Scores:
        """The score x̂_ui of items for users.

        Args:
            user_ids: one a row.
            item_ids: a flat list, scored for every user; or a list of lists, one a user, of any lengths.
            allow_unknown: True scores unknown users with the mean taste and gives unknown items -inf.
        """
        return self._ask(questions.score(user_ids, item_ids, allow_unknown=allow_unknown))

    def score_images(
        self, user_ids: Sequence[str], images: Sequence[Image], *, allow_unknown: bool = False
    ) -> ImageScores:
        """The score of pictures, of items in the catalogue or not, by their looks alone.

        Args:
            user_ids: one a row.
            images: one a row.
            allow_unknown: True scores unknown users with the mean taste.
        """
        return self._ask(questions.score_images(user_ids, images, allow_unknown=allow_unknown))

    def recommend(
        self,
        user_ids: Sequence[str],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_seen: bool = True,
        allow_unknown: bool = False,
    ) -> tuple[Recommendation, ...]:
        """The best items of the catalogue for each user, best first.

        Args:
            user_ids: one a row.
            k: how many items, one number or one a row; more than there are, or than the model gives, are cut.
            category: to choose from.
            exclude_items: to leave out: a flat list for all rows, or one list a row. Unknown ones are no error.
            exclude_seen: leaves out what the user has acted on.
            allow_unknown: True ranks for unknown users by the mean taste, and gives an unknown category no items.
        """
        return self._ask(
            questions.recommend(
                user_ids,
                k=k,
                category=category,
                exclude_items=exclude_items,
                exclude_seen=exclude_seen,
                allow_unknown=allow_unknown,
            )
        )

    def recommend_for_items(
        self,
        liked_items: Rows,
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        exclude_items: Sequence[str] | Rows | None = None,
        exclude_liked: bool = True,
        allow_unknown: bool = False,
    ) -> tuple[Recommendation, ...]:
        """The best items for people without a history, from items they like.

        Args:
            liked_items: one list of item ids a person.
            k: how many items, one number or one a row.
            category: to choose from.
            exclude_items: to leave out: a flat list for all rows, or one list a row. Unknown ones are no error.
            exclude_liked: leaves out the liked items themselves.
            allow_unknown: True passes over unknown liked items, and ranks by the mean taste where none is known.
        """
        return self._ask(
            questions.recommend_for_items(
                liked_items,
                k=k,
                category=category,
                exclude_items=exclude_items,
                exclude_liked=exclude_liked,
                allow_unknown=allow_unknown,
            )
        )

    def similar_items(
        self,
        item_ids: Sequence[str],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[SimilarItems, ...]:
        """The items that the model finds most alike to each item, itself left out.

        Args:
            item_ids: one a row.
            k: how many items, one number or one a row.
            category: to choose from.
            allow_unknown: True gives unknown items and categories no items.
        """
        return self._ask(questions.similar_items(item_ids, k=k, category=category, allow_unknown=allow_unknown))

    def similar_images(
        self,
        images: Sequence[Image],
        *,
        k: int | Sequence[int] = 10,
        category: str | Sequence[str] | None = None,
        allow_unknown: bool = False,
    ) -> tuple[SimilarItems, ...]:
        """The items that the model finds most alike to each picture.

        Args:
            images: one a row.
            k: how many items, one number or one a row.
            category: to choose from.
            allow_unknown: True gives an unknown category no items.
        """
        return self._ask(questions.similar_images(images, k=k, category=category, allow_unknown=allow_unknown))

    def embed_images(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Φ(X): the embedding of each picture, of items in the catalogue or not.

        Returns:
            float32 [B, embedding_dim].
        """
        return self._ask(questions.embed_images(images))

    def design(
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
        """New pictures of a category that fit each person's taste. Takes seconds a row.

        Args:
            user_ids: one a row; None to go by the liked items alone.
            category: one name for all rows, or one a row.
            liked_items: one list of item ids a person, for a taste without a history.
            num_designs: pictures a row; None for all of the model's starts.
            num_steps: gradient steps; None for the model's default, and at most its most.
            seeds: one a row; a single number counts up from itself, row by row.
            realism_weight: η, 0 or more; None for the model's.
            allow_unknown: True designs for unknown users with the mean taste, and gives an unknown category no picture.
        """
        climb = Climb(user_ids, liked_items, num_steps, seeds, realism_weight)
        return self._ask(
            design_questions.design(category, num_designs=num_designs, climb=climb, allow_unknown=allow_unknown)
        )

    def tailor(
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
        """Pictures changed to fit a taste better, from where they are. Takes seconds a row.

        Args:
            images: one a row.
            category: one name for all rows, or one a row.
            user_ids: one a row; None to go by the liked items alone.
            liked_items: one list of item ids a person.
            strength: how much of likeness to give up for taste, 0 or more; None for the model's.
            num_steps: gradient steps; None for the model's default.
            seeds: one a row; a single number counts up from itself.
            realism_weight: η, 0 or more; None for the model's.
            allow_unknown: as in `design`.
        """
        climb = Climb(user_ids, liked_items, num_steps, seeds, realism_weight)
        return self._ask(
            design_questions.tailor(images, category, strength=strength, climb=climb, allow_unknown=allow_unknown)
        )

    def generate(
        self, category: str | Sequence[str], *, seeds: int | Sequence[int] = 0, allow_unknown: bool = False
    ) -> tuple[GeneratedImage, ...]:
        """Random pictures of a category, for no one in particular.

        Args:
            category: one name for all seeds, or one a row.
            seeds: one a row; a single number counts up from itself, row by row.
            allow_unknown: True gives unknown categories no picture.
        """
        return self._ask(design_questions.generate(category, seeds=seeds, allow_unknown=allow_unknown))

    def model_status(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """The versions of a model that the server knows of, newest first; the recommender's where no name is given."""
        return self._connection.status(wire.model_spec(self._spec(name).name))

    def metadata(self, name: str | None = None) -> ModelMetadata:
        """What a model serves: its version and signatures; the recommender's where no name is given."""
        return self._connection.metadata(self._spec(name))

    def wait_until_ready(self, *, timeout_seconds: float = 60.0, models: Sequence[str] | None = None) -> None:
        """Returns as soon as the server has every model available.

        Args:
            timeout_seconds: how long to wait in all.
            models: served names; None for both the recommender and the designer.

        Raises:
            DeadlineError: if it takes longer; it says what stood in the way.
        """
        specs = self._ready_specs(None if models is None else id_list("models", models))
        self._connection.wait_until_ready(specs, timeout_seconds=timeout_seconds)

    def _ask(self, question: Question[T]) -> T:
        max_rows, timeout = self._rows_and_timeout(question.signature)
        name = self._served_name(question.signature)
        spec = self._spec(name, signature=question.signature)
        parts = [
            self._connection.predict(spec, chunk, timeout_seconds=timeout)
            for chunk in answers.chunks(question.inputs, max_rows=max_rows)
        ]
        return question.read(parts, name)
