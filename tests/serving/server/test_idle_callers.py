"""Callers that connect and send nothing, or never end: they are cut off, and nobody else has to wait for them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hostile_requests import Code, good_request, set_all
from serving_toy_models import design_row
from waiting import wait_until

from tfdvbpr_serving.config import BatchingOptions, ServerLimits
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.server.logs import FewerLines
from tfdvbpr_serving.server.server import LocalServer

LIMITS = ServerLimits(max_concurrent_requests=6, max_connections=16, read_seconds=5.0, idle_seconds=5.0)
GOOD = good_request(np.random.default_rng(0), "recommend").SerializeToString()
SCORE = {"signature_name": "score", "instances": [{"user_ids": "u0", "item_ids": ["i2"]}]}
ENDLESS = b"POST /v1/models/recommender:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(scope="module")
def server(model_folders: dict[str, Path]) -> Iterator[LocalServer]:
    one = BatchingOptions(num_batch_threads=1)
    with LocalServer(model_folders, rest_port=0, limits=LIMITS, batching=one) as server:
        yield server


class Silence:
    """An iterator of messages that has none until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __iter__(self) -> Silence:
        return self

    def __next__(self) -> bytes:
        self.released.wait()
        raise StopIteration


@contextmanager
def silent_calls(target: str, method: str, count: int) -> Iterator[list[grpc.Future]]:
    """Calls that never send their message, over a connection for every five of them."""
    silence = Silence()
    with ExitStack() as stack:
        stack.callback(silence.released.set)
        channels = [stack.enter_context(grpc.insecure_channel(target, [("n", n)])) for n in range(count // 5)]
        yield [channels[n % len(channels)].stream_unary(method).future(silence, timeout=600) for n in range(count)]


@pytest.mark.parametrize("method", [messages.PREDICT, "/grpc.health.v1.Health/Check"])
def test_calls_that_never_send_their_message_shut_out_nobody(server: LocalServer, method: str) -> None:
    with silent_calls(server.target, method, 60) as calls, grpc.insecure_channel(server.target) as channel:
        wait_until(lambda: sum(call.done() for call in calls) >= 30)  # refused, since they all came at once
        predict = channel.unary_unary(messages.PREDICT)
        wait_until(lambda: not refused(predict))
        wait_until(lambda: not refused(lambda *_, **__: healthy(channel)))
        for _ in range(5):
            assert predict(GOOD, timeout=60)
            assert healthy(channel)
        wait_until(lambda: all(call.done() for call in calls))  # the rest, since their time is over


def test_health_answers_while_every_place_is_taken(server: LocalServer) -> None:
    design = good_request(np.random.default_rng(0), "design", rows=1)
    set_all(design, "num_steps", 2**31 - 1)
    with grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary(messages.PREDICT)
        running = [predict.future(design.SerializeToString(), timeout=600) for _ in range(6)]
        wait_until(lambda: server.models[1].waiting["design"] == 5)
        assert refused(predict)
        assert healthy(channel)
        for call in running:
            call.cancel()
        wait_until(lambda: not refused(predict))


def test_a_server_that_is_behind_refuses_calls_before_it_reads_them(server: LocalServer) -> None:
    """No thread is free to begin further calls: gRPC's own thread refuses them."""
    released, pool = threading.Event(), server._api.pool
    with grpc.insecure_channel(server.target) as channel:
        waiting = [pool.submit(released.wait) for _ in range(server._api.num_threads + 72)]
        try:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(messages.PREDICT)(GOOD, timeout=60)
            assert (caught.value.code(), "server is full" in caught.value.details()) == (Code.RESOURCE_EXHAUSTED, True)
            assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
            assert healthy(channel)
        finally:
            released.set()
        for call in waiting:
            call.result()
        assert channel.unary_unary(messages.PREDICT)(GOOD, timeout=60)


def healthy(channel: grpc.Channel) -> bool:
    response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def refused(predict: Callable[..., object]) -> bool:
    try:
        predict(GOOD, timeout=60)
    except grpc.RpcError as error:
        return error.code() == Code.RESOURCE_EXHAUSTED and "The server is full" in error.details()
    return False


@contextmanager
def connections(address: str, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    host, port = address.rsplit(":", 1)
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=60)))
            opened[-1].sendall(sent)
        yield opened


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost:", ENDLESS], ids=["nothing", "half a header", "half"])
def test_http_connections_that_never_end_their_request_shut_out_nobody(server: LocalServer, sent: bytes) -> None:
    address = str(server.rest_url).removeprefix("http://")
    with connections(address, 60, sent) as opened:
        for _ in range(5):
            response = httpx.post(f"{server.rest_url}/v1/models/recommender:predict", json=SCORE, timeout=60)
            assert response.status_code == 200
        answers = [closed(one) for one in opened]  # every one is closed in the end
    assert answers[0] == b""  # for one that came after
    assert (b" 408 " in answers[-1]) == (sent == ENDLESS)


def test_a_kept_connection_is_closed_when_it_is_idle(server: LocalServer) -> None:
    address = str(server.rest_url).removeprefix("http://")
    with connections(address, 1, b"GET /v1/models/recommender HTTP/1.1\r\nHost: localhost\r\n\r\n") as (one,):
        response = one.recv(2**16)  # headers and body may come in two pieces
        length = int(response.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(response.split(b"\r\n\r\n", 1)[1]) < length:
            response += one.recv(2**16)
        assert b" 200 OK" in response
        one.sendall(b"G")  # the beginning of another request
        assert closed(one) == b""


def test_grpc_connections_that_say_nothing_are_closed(server: LocalServer) -> None:
    with connections(server.target, 10, b"") as opened, grpc.insecure_channel(server.target) as channel:
        assert channel.unary_unary(messages.PREDICT)(GOOD, timeout=60)
        assert all(closed(one) for one in opened)  # the server's settings, its farewell, and the end


def closed(one: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    try:
        while part := one.recv(2**16):
            received += part
    except ConnectionResetError:
        pass
    return received


def test_a_design_ends_when_the_servers_time_is_over(model_folders: dict[str, Path]) -> None:
    limits = ServerLimits(rest_timeout_seconds=0.5, max_request_seconds=0.5)
    row = design_row(num_steps=2**31 - 1)
    with LocalServer({"designer": model_folders["designer"]}, rest_port=0, limits=limits) as server:
        body = {"signature_name": "design", "instances": [row]}
        response = httpx.post(f"{server.rest_url}/v1/models/designer:predict", json=body, timeout=60)
        assert response.status_code == 504
        assert "before the deadline" in response.json()["error"]
        design = good_request(np.random.default_rng(0), "design", rows=1)
        set_all(design, "num_steps", 2**31 - 1)
        with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(messages.PREDICT)(design.SerializeToString())  # no deadline of its own
        assert (caught.value.code(), "before the deadline" in caught.value.details()) == (Code.DEADLINE_EXCEEDED, True)


def test_a_line_that_repeats_is_logged_now_and_then() -> None:
    lines: list[str] = []

    class Listed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    now = [0.0]
    handler, log = Listed(), logging.getLogger("test_idle_callers")
    handler.addFilter(FewerLines(most=3, seconds=10.0, clock=lambda: now[0]))
    log.addHandler(handler)
    for number in range(101):
        now[0] = 11.0 if number == 100 else 0.0
        log.warning("Bad request %d", number)
        if number == 50:
            log.warning("Something else")
    assert lines == [
        *(f"Bad request {n}" for n in range(3)),
        "Something else",
        "Bad request 100 (97 like it not shown)",
    ]
