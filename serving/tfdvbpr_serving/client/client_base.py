"""What the blocking and the asyncio client have in common: settings, models, versions, row limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME, SIGNATURES
from tfdvbpr_serving.client.channels import MAX_MESSAGE_BYTES, ChannelSettings, Tls
from tfdvbpr_serving.protocol import wire

DEFAULT_MAX_ROWS_PER_REQUEST = 64


class ClientBase(ABC):
    """Settings of a client.

    Args:
        target: "host:port" of the server's gRPC port.
        timeout_seconds: how long each request may take, retries included.
        design_timeout_seconds: the same for `design`, `tailor` and `generate`, which take seconds.
        max_rows_per_request: rows in one request; a batching server refuses more than its max_batch_size.
        max_design_rows_per_request: the same for `design`, `tailor` and `generate`.
        max_message_bytes: the largest request or answer.
        max_retries: how often a call is sent again when nobody answers (UNAVAILABLE), after growing waits and within
            its time; 0 to 4. Nothing else is sent again: not what the server refused, nor what came too late.
        compression: None, "gzip" or "deflate" for what is sent. Pictures are compressed already.
        tls: None for plain text.
        options: further gRPC channel options.
        recommender_name: under which the server serves the recommender.
        designer_name: under which the server serves the designer.
        recommender_version: None for the server's newest.
        designer_version: None for the server's newest.
        version_label: such as "stable", for both models, where the server defines it.

    Raises:
        ValueError: if an argument is out of range, or both a version and a label are given.
        OSError: if a file of `tls` cannot be read.
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
        max_retries: int = 3,
        compression: str | None = None,
        tls: Tls | None = None,
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
        self._settings = ChannelSettings(
            target, timeout_seconds, max_message_bytes, max_retries, compression, tls, tuple(options)
        )
        self._open(self._settings)

    @abstractmethod
    def _open(self, settings: ChannelSettings) -> None:
        """Makes the channel; nothing is sent yet."""

    def _spec(self, name: str | None, *, signature: str = "") -> Any:
        served = name or self._names[RECOMMENDER_MODEL_NAME]
        return wire.model_spec(
            served, version=self._versions.get(served), version_label=self._version_label, signature=signature
        )

    def _served_name(self, signature: str) -> str:
        return self._names[SIGNATURES[signature].model]

    def _rows_and_timeout(self, signature: str) -> tuple[int, float]:
        role = SIGNATURES[signature].model
        return self._max_rows[role], self._timeouts[role]

    def _ready_specs(self, models: Sequence[str] | None) -> list[Any]:
        names = list(self._names.values()) if models is None else list(models)
        return [self._spec(name) for name in names]
