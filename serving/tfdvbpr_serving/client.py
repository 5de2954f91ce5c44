"""A thin client of the served models: strings and NumPy arrays in and out, no TensorFlow in the process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME, SIGNATURES
from tfdvbpr_serving import answers, wire
from tfdvbpr_serving.answers import strings, unknown
from tfdvbpr_serving.arguments import id_list, image_files, item_rows, padded, per_row, seed_rows
from tfdvbpr_serving.connection import Arrays, Connection
from tfdvbpr_serving.errors import UnknownIdError
from tfdvbpr_serving.results import Design, GeneratedImage, ModelMetadata, ModelVersion, Recommendation, Scores

DEFAULT_MAX_ROWS_PER_REQUEST = 64
MAX_MESSAGE_BYTES = 2**31 - 1


class Client:
    """Calls the recommender and the designer on a server of the TensorFlow Serving protocol.

    Safe to share between threads. Close it, or use it in a `with` statement. Many rows are sent as several requests,
    one after the other, and come back as one answer.

    Args:
        target: "host:port" of the server's gRPC port.
        timeout_seconds: how long each request may take.
        design_timeout_seconds: the same for `design` and `generate`, which take seconds.
        max_rows_per_request: rows in one request; a batching server refuses more than its max_batch_size.
        max_design_rows_per_request: the same for `design` and `generate`.
        max_message_bytes: the largest request or answer.
        channel_credentials: None for plain text; `grpc.ssl_channel_credentials(...)` for TLS.
        options: further gRPC channel options.
        recommender_name: under which the server serves the recommender.
        designer_name: under which the server serves the designer.
        recommender_version: None for the server's newest.
        designer_version: None for the server's newest.
        version_label: such as "stable", for both models, where the server defines it.

    Raises:
        ValueError: if an argument is out of range, or both a version and a label are given.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = 30.0,
        design_timeout_seconds: float = 300.0,
        max_rows_per_request: int = DEFAULT_MAX_ROWS_PER_REQUEST,
        max_design_rows_per_request: int = 4,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        channel_credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        recommender_name: str = RECOMMENDER_MODEL_NAME,
        designer_name: str = DESIGNER_MODEL_NAME,
        recommender_version: int | None = None,
        designer_version: int | None = None,
        version_label: str | None = None,
    ) -> None:
        versions = {RECOMMENDER_MODEL_NAME: recommender_version, DESIGNER_MODEL_NAME: designer_version}
        if version_label is not None and set(versions.values()) != {None}:
            raise ValueError(
                f"A version or a label must be given, not both. Received {versions} and {version_label!r}."
            )
        if min(max_rows_per_request, max_design_rows_per_request) < 1:
            raise ValueError("Rows per request must be 1 or more. Received less. Leave the defaults if in doubt.")
        if design_timeout_seconds <= 0:
            raise ValueError(f"`design_timeout_seconds` must be > 0. Received {design_timeout_seconds}.")
        self._names = {RECOMMENDER_MODEL_NAME: recommender_name, DESIGNER_MODEL_NAME: designer_name}
        self._versions = {self._names[role]: version for role, version in versions.items()}
        self._version_label = version_label
        self._timeouts = {RECOMMENDER_MODEL_NAME: timeout_seconds, DESIGNER_MODEL_NAME: design_timeout_seconds}
        self._max_rows = {
            RECOMMENDER_MODEL_NAME: max_rows_per_request,
            DESIGNER_MODEL_NAME: max_design_rows_per_request,
        }
        self._connection = Connection(
            target,
            timeout_seconds=timeout_seconds,
            max_message_bytes=max_message_bytes,
            credentials=channel_credentials,
            options=options,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls under way are cancelled."""
        self._connection.close()

    def score(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str] | Sequence[Sequence[str]],
        *,
        allow_unknown: bool = False,
    ) -> Scores:
        """The score x̂_ui of items for users.

        Args:
            user_ids: one a row.
            item_ids: a flat list, scored for every user; or a list of lists, one a user, of any lengths.
            allow_unknown: False raises for unknown ids; True scores unknown users with the mean taste and gives unknown
                items NaN.

        Raises:
            ValueError: if a list is empty or the lengths do not match.
            UnknownIdError: for unknown ids, unless allowed.
            ServingError: one of its kinds, if the call fails.
        """
        users = id_list("user_ids", user_ids)
        rows = item_rows(item_ids, num_users=len(users))
        items, mask = padded(rows)
        parts = self._predict("score", {"user_ids": strings(users), "item_ids": items})
        answer = answers.joined(parts, width=items.shape[1])
        known_items = answer["known_items"] & mask
        if not allow_unknown:
            self._refuse_unknown(
                RECOMMENDER_MODEL_NAME,
                user_ids=unknown(users, answer["known_users"]),
                item_ids=items[mask & ~known_items].tolist(),
            )
        scores = np.where(mask, answer["scores"], np.float32(np.nan))
        return Scores(users, rows, scores, answer["known_users"], known_items)

    def recommend(
        self,
        user_ids: Sequence[str],
        *,
        k: int = 10,
        category: str | Sequence[str] | None = None,
        exclude_seen: bool = True,
        allow_unknown: bool = False,
    ) -> tuple[Recommendation, ...]:
        """The best items of the catalogue for each user, best first.

        Args:
            user_ids: one a row.
            k: how many items; more than there are gives all of them.
            category: None for the whole catalogue, one name for all rows, or one a row.
            exclude_seen: leaves out what the user has acted on.
            allow_unknown: False raises for unknown ids; True ranks for unknown users by the mean taste, and gives an
                unknown category no items.

        Raises:
            ValueError: if a list is empty, the lengths do not match or k < 1.
            UnknownIdError: for unknown ids, unless allowed.
            ServingError: one of its kinds, if the call fails.
        """
        users = id_list("user_ids", user_ids)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < 2**31:
            raise ValueError(f"`k` must be a whole number, 1 or more. Received {k!r}. Ask for at least one item.")
        num_rows = len(users)
        categories = ("",) * num_rows if category is None else per_row("category", category, num_rows=num_rows)
        inputs = {
            "user_ids": strings(users),
            "k": np.full(num_rows, k, dtype=np.int32),
            "categories": strings(categories),
            "exclude_seen": np.full(num_rows, exclude_seen, dtype=np.bool_),
        }
        rows = answers.rows(self._predict("recommend", inputs))
        if not allow_unknown:
            self._refuse_unknown(
                RECOMMENDER_MODEL_NAME,
                user_ids=unknown(users, [row["known_users"] for row in rows]),
                categories=unknown(categories, [row["known_categories"] for row in rows]),
            )
        return tuple(
            answers.recommendation(user, name, row, k=int(k))
            for user, name, row in zip(users, categories, rows, strict=True)
        )

    def embed_images(self, images: Sequence[bytes | str | os.PathLike[str]]) -> npt.NDArray[np.float32]:
        """Φ(X): the embedding of each picture, of items in the catalogue or not.

        Args:
            images: whole JPEG or PNG files: their bytes, or paths to read here.

        Returns:
            float32 [B, embedding_dim].

        Raises:
            ValueError: if there is no image or an empty one.
            InvalidRequestError: if one is not a readable JPEG or PNG.
            ServingError: one of its other kinds, if the call fails.
        """
        files = strings(image_files(images))
        parts = self._predict("embed_images", {"images": files})
        return np.concatenate([part["embeddings"] for part in parts])

    def design(
        self,
        user_ids: Sequence[str],
        category: str | Sequence[str],
        *,
        seeds: int | Sequence[int] = 0,
        allow_unknown: bool = False,
    ) -> tuple[Design, ...]:
        """New pictures of a category that fit each user's taste. Takes seconds a row.

        Args:
            user_ids: one a row.
            category: one name for all rows, or one a row.
            seeds: one a row; a single number counts up from itself, row by row.
            allow_unknown: False raises for unknown ids; True designs for unknown users with the mean taste, and gives
                an unknown category blank pictures.

        Raises:
            ValueError: if a list is empty or the lengths do not match.
            UnknownIdError: for unknown ids, unless allowed.
            ServingError: one of its kinds, if the call fails.
        """
        users = id_list("user_ids", user_ids)
        categories = per_row("category", category, num_rows=len(users))
        seed_array = seed_rows(seeds, num_rows=len(users))
        inputs = {"user_ids": strings(users), "categories": strings(categories), "seeds": seed_array}
        rows = answers.rows(self._predict("design", inputs))
        if not allow_unknown:
            self._refuse_unknown(
                DESIGNER_MODEL_NAME,
                user_ids=unknown(users, [row["known_users"] for row in rows]),
                categories=unknown(categories, [row["known_categories"] for row in rows]),
            )
        return tuple(
            answers.design(user, name, int(seed), row)
            for user, name, seed, row in zip(users, categories, seed_array, rows, strict=True)
        )

    def generate(
        self, category: str | Sequence[str], *, seeds: int | Sequence[int] = 0, allow_unknown: bool = False
    ) -> tuple[GeneratedImage, ...]:
        """Random pictures of a category, for no one in particular.

        Args:
            category: one name for all seeds, or one a row.
            seeds: one a row; a single number counts up from itself, row by row.
            allow_unknown: False raises for unknown categories; True gives them blank pictures.

        Raises:
            ValueError: if a list is empty or the lengths do not match.
            UnknownIdError: for unknown categories, unless allowed.
            ServingError: one of its kinds, if the call fails.
        """
        if isinstance(category, str):
            categories = per_row("category", category, num_rows=int(np.size(seeds)))
        else:
            categories = id_list("category", category)
        seed_array = seed_rows(seeds, num_rows=len(categories))
        inputs = {"categories": strings(categories), "seeds": seed_array}
        rows = answers.rows(self._predict("generate", inputs))
        if not allow_unknown:
            known = [row["known_categories"] for row in rows]
            self._refuse_unknown(DESIGNER_MODEL_NAME, categories=unknown(categories, known))
        return tuple(
            answers.generated(name, int(seed), row)
            for name, seed, row in zip(categories, seed_array, rows, strict=True)
        )

    def model_status(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """The versions of a model that the server knows of, newest first; the recommender's where no name is given."""
        return self._connection.status(wire.model_spec(name or self._names[RECOMMENDER_MODEL_NAME]))

    def metadata(self, name: str | None = None) -> ModelMetadata:
        """What a model serves: its version and signatures; the recommender's where no name is given."""
        return self._connection.metadata(self._spec(name or self._names[RECOMMENDER_MODEL_NAME]))

    def wait_until_ready(self, *, timeout_seconds: float = 60.0, models: Sequence[str] | None = None) -> None:
        """Returns as soon as the server has every model available.

        Args:
            timeout_seconds: how long to wait in all.
            models: served names; None for both the recommender and the designer.

        Raises:
            DeadlineError: if it takes longer; it says what stood in the way.
        """
        names = list(self._names.values()) if models is None else id_list("models", models)
        self._connection.wait_until_ready([self._spec(name) for name in names], timeout_seconds=timeout_seconds)

    def _spec(self, name: str, *, signature: str = "") -> Any:
        return wire.model_spec(
            name, version=self._versions.get(name), version_label=self._version_label, signature=signature
        )

    def _predict(self, signature: str, inputs: Arrays) -> Iterator[Arrays]:
        role = SIGNATURES[signature].model
        spec = self._spec(self._names[role], signature=signature)
        for chunk in answers.chunks(inputs, max_rows=self._max_rows[role]):
            yield self._connection.predict(spec, chunk, timeout_seconds=self._timeouts[role])

    def _refuse_unknown(
        self, role: str, *, user_ids: Sequence[str] = (), item_ids: Sequence[str] = (), categories: Sequence[str] = ()
    ) -> None:
        if user_ids or item_ids or categories:
            raise UnknownIdError(self._names[role], user_ids=user_ids, item_ids=item_ids, categories=categories)
