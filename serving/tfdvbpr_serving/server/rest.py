"""TensorFlow Serving's REST interface: an ASGI application, and the thread that runs it."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import grpc
import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.server.predictor import METRICS_PATH, Predictor, ServerMetrics
from tfdvbpr_serving.server.requests import ModelChoice, RequestContext, RequestError, invalid_argument, not_found
from tfdvbpr_serving.server.rest_json import dumped, parsed_body, read_inputs, response_body

# TensorFlow Serving's table, except for a full queue, which is UNAVAILABLE there, and so 503.
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
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(_MODEL + r":(predict|classify|regress)", re.IGNORECASE)
_LOOK_UP = re.compile(_MODEL + r"(/metadata)?", re.IGNORECASE)


class RestApi:
    """The ASGI application: predictions, status, metadata, and the metrics page."""

    def __init__(self, predictor: Predictor, metrics: ServerMetrics, *, limits: ServerLimits) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._limits = limits
        # Base64 is a third longer than the bytes it encodes.
        self._max_body_bytes = limits.max_message_bytes * 4 // 3 + 4096
        self._num_active = 0
        self._pool = ThreadPoolExecutor(limits.max_concurrent_requests, thread_name_prefix="tfdvbpr-rest")
        self.app = Starlette(
            routes=[
                Route(METRICS_PATH, self._metrics_page, methods=["GET"]),
                Route("/{path:path}", self._respond, methods=["GET", "POST"]),
            ]
        )

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")

    async def _respond(self, request: Request) -> Response:
        try:
            path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
            if request.method == "POST" and (found := _PREDICT.fullmatch(path)):
                if found.group(4).lower() != "predict":
                    raise RequestError(
                        grpc.StatusCode.UNIMPLEMENTED, "The method must be :predict. The models have no other."
                    )
                return await self._predict(request, _choice(*found.groups()[:3]))
            if request.method == "GET" and (found := _LOOK_UP.fullmatch(path)):
                return self._look_up(_choice(*found.groups()[:3]), metadata=bool(found.group(4)))
            raise not_found(
                f"{request.method} {path[:200]} must be a path of the REST interface. It is not. "
                "Try /v1/models/NAME, /v1/models/NAME/metadata or POST /v1/models/NAME:predict."
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
        if self._num_active >= self._limits.max_concurrent_requests:
            raise RequestError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "The server must have room for the request. It is full. Try later."
            )
        self._num_active += 1
        try:
            body = await self._body(request)
            context = RequestContext(self._limits.rest_timeout_seconds)
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._response_to, choice, body, context)
            disconnected = asyncio.ensure_future(_disconnected(request))
            either: set[asyncio.Future[Any]] = {work, disconnected}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    context.cancel()
                return Response(await work, media_type="application/json")
            finally:
                disconnected.cancel()
        finally:
            self._num_active -= 1

    async def _body(self, request: Request) -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_body_bytes:
                raise _TooLargeError(self._max_body_bytes)
            parts.append(part)
        return b"".join(parts)

    def _response_to(self, choice: ModelChoice, body: bytes, context: RequestContext) -> bytes:
        request = parsed_body(body)
        prediction = self._predictor.predict(
            ModelChoice(choice.name, choice.version, choice.label, request.get("signature_name", "")),
            lambda runner: read_inputs(request, runner),
            output_filter=[],
            context=context,
            protocol="rest",
        )
        return dumped(response_body(prediction.outputs, by_row="instances" in request))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class RestThread:
    """Runs the application at host and port, 0 for a free one, until stopped; ServerStartError if it cannot listen."""

    def __init__(self, api: RestApi, *, host: str, port: int) -> None:
        self._api = api
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host.strip("[]"), port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise ServerStartError(
                f"The address {host}:{port} must be free and of this machine. It is not. "
                "Choose another REST port, or 0 for any free one."
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(api.app, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=30)
        )
        self._thread = threading.Thread(target=self._serve, name="tfdvbpr-rest", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Starts to serve."""
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Accepts no more connections, lets requests in progress end, and stops. Safe to call twice."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(grace_seconds + 5)
        self._socket.close()
        self._api.close()


class _TooLargeError(RequestError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"The body must have at most {limit} bytes. Received more. Send less."
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
    status = 413 if isinstance(error, _TooLargeError) else HTTP_STATUS.get(error.code, 500)
    headers = {"Retry-After": "1"} if status == 503 else None
    return Response(dumped({"error": error.message}), status, headers, media_type="application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
