"""TensorFlow Serving's REST interface as an ASGI application."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.server.access import Access
from tfdvbpr_serving.server.cost import MemoryBudget, Reservation, json_bytes
from tfdvbpr_serving.server.predictor import METRICS_PATH, Predictor, ServerMetrics
from tfdvbpr_serving.server.requests import ModelChoice, RequestContext, RequestError, invalid_argument
from tfdvbpr_serving.server.rest_json import dumped, parsed_body, read_inputs, response_body

# TensorFlow Serving's table.
HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}

HEALTH_PATH = "/health"

# Of gzip, which packs a thousand equal bytes into one: requests of ids, numbers and images come nowhere near.
_MOST_RATIO, _LEAST_UNPACKED = 64, 4 * 2**20

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(_MODEL + r":(predict|classify|regress)", re.IGNORECASE)
_LOOK_UP = re.compile(_MODEL + r"(/metadata)?", re.IGNORECASE)


class RestApi:
    """The ASGI application: predictions, status, metadata, the metrics page, and health.

    `access` says who may call it, by token and Host header; the health path tells everyone whether the server is ready,
    and nothing else.
    """

    def __init__(
        self,
        predictor: Predictor,
        metrics: ServerMetrics,
        *,
        limits: ServerLimits,
        budget: MemoryBudget,
        access: Access,
        host: str,
        ready: Callable[[str], bool | None],
    ) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._limits = limits
        self._budget = budget
        self._access = access
        self._host = host
        self._ready = ready
        # Base64 is a third longer than the bytes it encodes.
        self._max_body_bytes = limits.max_message_bytes * 4 // 3 + 4096
        self._num_active = 0
        self._pool = ThreadPoolExecutor(limits.max_concurrent_requests, thread_name_prefix="tfdvbpr-rest")
        self._app = Starlette(
            routes=[
                Route(HEALTH_PATH, self._health, methods=["GET"]),
                Route(METRICS_PATH, self._metrics_page, methods=["GET"]),
                Route("/{path:path}", self._respond, methods=["GET", "POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds to a request, of which nothing but the headers is read before its caller is let in."""
        if scope["type"] == "http" and scope["path"] != HEALTH_PATH:
            headers = Headers(scope=scope)
            try:
                self._access.check_host(headers.get("host"), listening_at=self._host)
                self._access.check_authorization(headers.get("authorization"))
            except RequestError as error:
                await _error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _health(self, request: Request) -> Response:
        ready = bool(self._ready(""))
        status = {"status": "SERVING" if ready else "NOT_SERVING"}
        return Response(dumped(status), 200 if ready else 503, media_type="application/json")

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")

    async def _respond(self, request: Request) -> Response:
        try:
            path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
            if request.method == "POST" and (found := _PREDICT.fullmatch(path)):
                if found.group(4).lower() != "predict":
                    raise invalid_argument("The method must be :predict. The models have no other.")
                return await self._predict(request, _choice(*found.groups()[:3]))
            if request.method == "GET" and (found := _LOOK_UP.fullmatch(path)):
                return self._look_up(_choice(*found.groups()[:3]), metadata=bool(found.group(4)))
            raise invalid_argument(
                f"Malformed request: {request.method} {path[:200]}. "
                "Try GET /v1/models/NAME, GET /v1/models/NAME/metadata or POST /v1/models/NAME:predict."
            )
        except RequestError as error:
            return _error_response(error)
        except ClientDisconnect:
            return Response(status_code=HTTP_STATUS[grpc.StatusCode.CANCELLED])

    def _look_up(self, choice: ModelChoice, *, metadata: bool) -> Response:
        if not metadata:
            return _json(_dict(self._predictor.status(choice)))
        response, signatures = self._predictor.metadata(choice)
        return _json({"model_spec": _dict(response.model_spec), "metadata": {"signature_def": _dict(signatures)}})

    async def _predict(self, request: Request, choice: ModelChoice) -> Response:
        with self._budget.reserve() as reservation:
            try:
                body = await asyncio.wait_for(self._body(request, reservation), self._limits.read_seconds)
            except (TimeoutError, asyncio.TimeoutError):
                raise _BodyTooSlowError(self._limits.read_seconds) from None
            if self._num_active >= self._limits.max_concurrent_requests:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"At most {self._limits.max_concurrent_requests} requests may be in progress. The server is full. "
                    "Try later.",
                )
            self._num_active += 1
            try:
                return await self._computed(request, choice, body, reservation)
            finally:
                self._num_active -= 1

    async def _computed(
        self, request: Request, choice: ModelChoice, body: bytearray, reservation: Reservation
    ) -> Response:
        context = RequestContext(self._limits.rest_timeout_seconds)
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, self._response_to, choice, body, context, reservation
        )
        disconnected = asyncio.ensure_future(_disconnected(request))
        either: set[asyncio.Future[Any]] = {work, disconnected}
        try:
            await asyncio.wait(either, timeout=context.seconds_left(), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                context.cancel()
            return Response(await work, media_type="application/json")
        finally:
            disconnected.cancel()

    async def _body(self, request: Request, reservation: Reservation) -> bytearray:
        most = self._max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and len(declared) < 18 and int(declared) > most:
            raise _TooLargeError(most)
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise invalid_argument(f"Content-Encoding must be gzip or identity. Received {encoding[:40]}.")
        gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if encoding == "gzip" else None
        body, received = bytearray(), 0
        async for part in request.stream():
            received += len(part)
            room = (most if gzip is None else min(most, max(_LEAST_UNPACKED, _MOST_RATIO * received))) - len(body)
            try:
                plain = part if gzip is None else gzip.decompress(part, room + 1)
            except zlib.error as error:
                raise invalid_argument(f"The body must be whole gzip data. Received: {error}.") from error
            if len(plain) > room:
                raise _TooLargeError(most, packed=gzip is not None)
            reservation.add(len(plain))
            body += plain
        if gzip is not None and not gzip.eof:
            raise invalid_argument("The body must be whole gzip data. It ends too early.")
        return body

    def _response_to(
        self, choice: ModelChoice, body: bytearray, context: RequestContext, reservation: Reservation
    ) -> bytes:
        reservation.add(json_bytes(body, max_values=self._limits.max_values))
        request = parsed_body(body)
        prediction = self._predictor.predict(
            ModelChoice(choice.name, choice.version, choice.label, request.get("signature_name", "")),
            lambda runner: read_inputs(request, runner, reservation),
            output_filter=[],
            context=context,
            protocol="rest",
        )
        return dumped(response_body(prediction.outputs, by_row="instances" in request))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _TooLargeError(RequestError):
    def __init__(self, limit: int, *, packed: bool = False) -> None:
        unpacked = f" once it is unpacked, and at most {_MOST_RATIO} times those that are sent" if packed else ""
        super().__init__(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The body must have at most {limit} bytes{unpacked}. Received more. Send less{', or plain' * packed}.",
        )


class _BodyTooSlowError(RequestError):
    def __init__(self, seconds: float) -> None:
        super().__init__(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"The whole body must arrive within {seconds:g} s. It did not. Send less.",
        )


def _choice(name: str, version: str | None, label: str | None) -> ModelChoice:
    if version is not None and len(version) > 18:
        raise invalid_argument(f"A version must be a number of 64 bits. Received {version[:30]}...")
    return ModelChoice(
        unquote(name), None if version is None else int(version), None if label is None else unquote(label)
    )


def _dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(body: Any) -> Response:
    return Response(dumped(body), media_type="application/json")


def _error_response(error: RequestError) -> Response:
    status = HTTP_STATUS.get(error.code, 500)
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    if isinstance(error, (_TooLargeError, _BodyTooSlowError)):  # what is left of the body is not read
        status = 413 if isinstance(error, _TooLargeError) else 408
        headers["Connection"] = "close"
    if status in (401, 403):  # nor of that of a caller who is not let in
        headers["Connection"] = "close"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(dumped({"error": error.message}), status, headers, media_type="application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
