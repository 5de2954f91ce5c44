"""What the methods of `Client` and `AsyncClient` share: settings, sending a request, checking ids, blocking or not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, overload

import grpc
import numpy as np
import numpy.typing as npt

from tfdvbpr.signatures import DESIGNER_MODEL_NAME, RECOMMENDER_MODEL_NAME, SIGNATURES
from tfdvbpr_serving.client.arguments import Rows, padded
from tfdvbpr_serving.client.channels import (
    MAX_MESSAGE_BYTES,
    AsyncioTransport,
    BlockingTransport,
    ChannelSettings,
    Compression,
    Tls,
)
from tfdvbpr_serving.client.model_info import ModelVersion, read_status
from tfdvbpr_serving.client.responses import SAME_RELEASE, Row
from tfdvbpr_serving.errors import CallSite, IdsNotFoundError, IncompatibleModelError, ServingError, error_from_grpc
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.messages import Arrays, array_from_tensor, model_spec, predict_request, string_array
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import GetModelStatusRequest, ModelSpec

if TYPE_CHECKING:
    from tfdvbpr_serving.client.client import AsyncClient, Client

P = ParamSpec("P")
T = TypeVar("T")

Given = Sequence[str] | Sequence[bytes] | Rows | npt.NDArray[Any] | None

DEFAULT_MAX_ROWS_PER_REQUEST = 64

# By input, the output that says whether each id is known, and the kind of id.
_FLAGS = {
    "user_ids": ("known_users", "user_ids"),
    "query_item_ids": ("known_items", "item_ids"),
    "item_ids": ("known_items", "item_ids"),
    "liked_item_ids": ("known_liked_items", "item_ids"),
    "more_like_item_ids": ("known_more_like_items", "item_ids"),
    "less_like_item_ids": ("known_less_like_items", "item_ids"),
    "categories": ("known_categories", "categories"),
    "filters": ("known_filters", "filters"),
}


class method(Generic[P, T]):  # noqa: N801 (a decorator, as `property`)
    """A method written once, as a coroutine. `AsyncClient` has the coroutine; in `Client` it runs to its end at once.

    That works because the blocking transport never waits for an event loop.
    """

    def __init__(self, coroutine: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        @functools.wraps(coroutine)
        def blocking(client: Any, *args: P.args, **kwargs: P.kwargs) -> T:
            return finished(coroutine(client, *args, **kwargs))

        self._coroutine = coroutine
        self._blocking = blocking
        self.__doc__ = coroutine.__doc__

    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, client: ClientBase | None, owner: type[ClientBase]) -> Callable[..., Any]:
        function: Any = self._blocking if owner.blocks else self._coroutine
        bound: Callable[..., Any] = function.__get__(client, owner)
        return bound


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits for an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("A blocking client must not wait for an event loop. It did.")


class ClientBase:
    """The settings of a client, and how its methods send their requests.

    Args:
        target: "host:port" of the server's gRPC port.
        timeout_seconds: for each request, retries included.
        design_timeout_seconds: the same for `design`, `tailor` and `generate`, which take seconds.
        max_rows_per_request: rows in one request; a batching server rejects more than its max_batch_size.
        max_design_rows_per_request: the same for `design`, `tailor` and `generate`.
        max_message_bytes: the largest request or response; the protocol's own limit is 2 GiB.
        max_retries: how often a call is sent again if no server responds (UNAVAILABLE), after growing waits and within
            its timeout; 0 to 4. No other error is retried.
        compression: None, "gzip" or "deflate" for requests. Images are compressed already.
        tls: None for plain text.
        token: one of the server's, sent with each call; None for a server without. Only over TLS, or to this machine.
        options: further gRPC channel options, which override the client's.
        recommender_name: name of the served recommender.
        designer_name: name of the served designer.
        recommender_version: None for the server's newest.
        designer_version: None for the server's newest.
        version_label: such as "stable", for both models, if the server defines it.

    Raises:
        ValueError: if an argument is out of range, both a version and a label are given, or the token would cross the
            network unencrypted.
        OSError: if a file of `tls` cannot be read.
    """

    blocks: ClassVar[bool] = False

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
        compression: Compression | None = None,
        tls: Tls | None = None,
        token: str | None = None,
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
        self.target = target
        self._names = {RECOMMENDER_MODEL_NAME: recommender_name, DESIGNER_MODEL_NAME: designer_name}
        self._versions = {self._names[role]: version for role, version in versions.items()}
        self._version_label = version_label
        self._timeouts = {RECOMMENDER_MODEL_NAME: timeout_seconds, DESIGNER_MODEL_NAME: design_timeout_seconds}
        self._max_rows = {
            RECOMMENDER_MODEL_NAME: max_rows_per_request,
            DESIGNER_MODEL_NAME: max_design_rows_per_request,
        }
        settings = ChannelSettings(
            target, timeout_seconds, max_message_bytes, max_retries, compression, tls, token, tuple(options)
        )
        self._transport = BlockingTransport(settings) if self.blocks else AsyncioTransport(settings)

    def _spec(self, name: str | None, *, signature: str = "") -> ModelSpec:
        served = name or self._names[RECOMMENDER_MODEL_NAME]
        return model_spec(
            served, version=self._versions.get(served), version_label=self._version_label, signature=signature
        )

    async def _predict(
        self, signature: str, num_rows: int, *, allow_unknown: bool = False, **given: Given
    ) -> list[Row]:
        """The output rows of a signature; inputs that are None get their neutral values."""
        inputs: Arrays = {}
        for name, description in SIGNATURES[signature].inputs.items():
            value: Any = SIGNATURES[signature].neutral(name, num_rows) if given[name] is None else given[name]
            if description.dtype != "string":
                inputs[name] = np.asarray(value, dtype=description.dtype)
            else:
                inputs[name] = string_array(value) if len(description.shape) == 1 else padded(value)
        role = SIGNATURES[signature].model
        spec, max_rows = self._spec(self._names[role], signature=signature), self._max_rows[role]
        rows: list[Row] = []
        for start in range(0, num_rows, max_rows):
            chunk = {name: array[start : start + max_rows] for name, array in inputs.items()}
            request, timeout_seconds = predict_request(spec, chunk), self._timeouts[role]
            response = await self._call(messages.PREDICT, request, what=signature, timeout_seconds=timeout_seconds)
            rows += read_rows(response, spec, num_rows=min(max_rows, num_rows - start), target=self.target)
        if not allow_unknown:
            self._check_known(role, rows, given)
        return rows

    async def _status(self, spec: ModelSpec, *, timeout_seconds: float | None = None) -> tuple[ModelVersion, ...]:
        """Versions of every number and label."""
        request = GetModelStatusRequest(model_spec=model_spec(spec.name))
        return read_status(
            await self._call(messages.GET_MODEL_STATUS, request, what="status", timeout_seconds=timeout_seconds)
        )

    async def _call(self, path: str, request: Any, *, what: str, timeout_seconds: float | None = None) -> Any:
        timeout = self._timeouts[RECOMMENDER_MODEL_NAME] if timeout_seconds is None else timeout_seconds
        try:
            return await self._transport.send(path, request, timeout_seconds=timeout)
        except grpc.RpcError as error:
            call = CallSite(self.target, request.model_spec.name, what, timeout)
            raise error_from_grpc(error.code(), error.details(), call=call) from error
        except (ValueError, grpc.aio.UsageError) as error:  # what gRPC raises for a closed channel
            raise ServingError(
                f"The client must be open to call {self.target}. Received: {error}. Make a new one."
            ) from error

    def _check_known(self, role: str, rows: Sequence[Row], given: Mapping[str, Given]) -> None:
        """Raises `IdsNotFoundError` for ids whose flags are False; flags past the end of a row of ids are padding's."""
        unknown: dict[str, list[str]] = {"user_ids": [], "item_ids": [], "categories": [], "filters": []}
        for name, (flag, kind) in _FLAGS.items():
            if (ids := given.get(name)) is None:
                continue
            for own, row in zip(ids, rows, strict=True):
                flags = np.atleast_1d(row[flag])
                named = (own,) if isinstance(own, str) else own
                unknown[kind] += [one for one, known in zip(named, flags, strict=False) if one and not known]
        if any(unknown.values()):
            raise IdsNotFoundError(self._names[role], **unknown)


def read_rows(response: Any, spec: ModelSpec, *, num_rows: int, target: str) -> list[Row]:
    """The rows of a `PredictResponse`; `IncompatibleModelError` if they are not as `tfdvbpr.signatures` says."""
    try:
        outputs: Arrays = {name: array_from_tensor(tensor) for name, tensor in response.outputs.items()}
    except ValueError as error:
        raise IncompatibleModelError(f"Unreadable response of {spec.name!r} at {target}: {error}") from error
    for name, description in SIGNATURES[spec.signature_name].outputs.items():
        where = f"Output {name!r} of {spec.signature_name} of {spec.name!r} at {target}"
        if name not in outputs:
            raise IncompatibleModelError(f"{where} must be in the response. Received {sorted(outputs)}. {SAME_RELEASE}")
        array = outputs[name]
        dtype = "string" if array.dtype == object else array.dtype.name
        if dtype != description.dtype or array.ndim != len(description.shape) or len(array) != num_rows:
            raise IncompatibleModelError(
                f"{where} must be {description.dtype} {description.shape} with {num_rows} rows. "
                f"Received {dtype} {array.shape}. {SAME_RELEASE}"
            )
    names = list(SIGNATURES[spec.signature_name].outputs)
    return [dict(zip(names, row, strict=True)) for row in zip(*(outputs[name] for name in names), strict=True)]
