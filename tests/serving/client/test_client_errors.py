"""Invalid arguments, and the client's errors for what a server rejects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from image_files import png
from serving_toy_models import OldRecommender, save

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.errors import (
    CallSite,
    DeadlineError,
    IncompatibleModelError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerBusyError,
    ServerUnavailableError,
    ServingError,
    error_from_grpc,
)
from tfdvbpr_serving.server.server import LocalServer


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.score([], ["i0"]), "`user_ids` must hold at least one"),
        (lambda c: c.score("u0", ["i0"]), r"Write \['u0'\]"),
        (lambda c: c.score(["u0"], []), "`item_ids` must hold at least one"),
        (lambda c: c.score(["u0"], [[]]), r"`item_ids\[0\]` must hold at least one"),
        (lambda c: c.score(["u0", "u1"], [["i0"]]), "a row for each of the 2"),
        (lambda c: c.score(["u0"], ["i0", ""]), "position 1"),
        (lambda c: c.score([3], ["i0"]), "Convert ids with str"),
        (lambda c: c.recommend(["u0"], k=0), "`k` must be .* Received 0"),
        (lambda c: c.recommend(["u0"], k=1.5), "`k` must be"),
        (lambda c: c.recommend(["u0", "u1"], category=["tops"]), "one string or 2 of them. Received 1"),
        (lambda c: c.recommend(["u0"], category=""), "`category` must hold non-empty"),
        (lambda c: c.embed_images([]), "at least one file"),
        (lambda c: c.embed_images([b""]), "Received an empty one at position 0"),
        (lambda c: c.embed_images([np.zeros(3)]), "Received ndarray"),
        (lambda c: c.embed_images(b"x"), "must be a list of files"),
        (lambda c: c.recommend_for_items(["i0"]), "Received a flat one"),
        (lambda c: c.recommend_for_items([]), "`liked_items` must have at least one row"),
        (lambda c: c.recommend_for_items([[]]), r"`liked_items\[0\]` must hold at least one"),
        (
            lambda c: c.recommend(["u0", "u1"], exclude_items=[["i0"]]),
            "`exclude_items` must have a row for each of the 2",
        ),
        (lambda c: c.recommend(["u0", "u1"], k=[1]), "`k` must be one number or 2"),
        (lambda c: c.similar_items(["i0"], k=-1), "`k` must be a whole number, 1 or more. Received -1"),
        (lambda c: c.score_images(["u0", "u1"], [b"x"]), "`user_ids` must be one string or 1 of them"),
        (lambda c: c.design(None, "tops"), "`user_ids` or `liked_items`. Received neither"),
        (lambda c: c.tailor([b"x"], "tops"), "Received neither"),
        (lambda c: c.design(["u0"], "tops", liked_items=[["i0"], ["i1"]]), "a row for each of the 1"),
        (lambda c: c.design(["u0"], "tops", num_steps=0), "`num_steps` must be"),
        (lambda c: c.design(["u0"], "tops", realism_weight=float("nan")), "`realism_weight` must be"),
        (lambda c: c.design(["u0"], "tops", seeds=[1, 2]), "`seeds` must be one int or 1 of them"),
        (lambda c: c.design(["u0"], "tops", seeds=[2**63]), "64 bits"),
        (lambda c: c.generate("tops", seeds=[]), "at least one"),
        (lambda c: c.generate("tops", seeds=0.5), "`seeds` must be an int"),
        (lambda c: c.generate([]), "at least one"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(call: Callable[[Client], object], message: str) -> None:
    with Client("localhost:1") as nowhere, pytest.raises(ValueError, match=message):
        call(nowhere)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_seconds": 0}, "must be > 0"),
        ({"design_timeout_seconds": -1}, "must be > 0"),
        ({"max_rows_per_request": 0}, "must be 1 or more"),
        ({"recommender_version": 1, "version_label": "stable"}, "not both"),
        ({"max_retries": 9}, "`max_retries` must be 0 to 4"),
        ({"compression": "zip"}, "`compression` must be"),
    ],
)
def test_settings_are_checked(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Client("localhost:1", **options)  # type: ignore[arg-type]


def test_errors_say_what_to_do(toy: Client, toy_server: LocalServer) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"must hold whole JPEG or PNG files[^\[\n]*\. Correct the request\.$"
    ):
        toy.embed_images([b"not an image"])
    with Client(toy_server.target, recommender_name="nope") as c, pytest.raises(ModelNotFoundError, match="designer"):
        c.recommend(["u0"])
    with (
        Client(toy_server.target, recommender_name="designer") as c,
        pytest.raises(ModelNotFoundError, match=r'"recommend" not found.*It has: design, generate'),
    ):
        c.recommend(["u0"])
    with (
        Client(toy_server.target, design_timeout_seconds=0.2) as c,
        pytest.raises(DeadlineError, match=r"within 0\.2 s"),
    ):
        c.design(["u0"], "tops", num_steps=2_000_000_000)
    with Client(toy_server.target, max_message_bytes=200) as c, pytest.raises(MessageTooLargeError, match="200"):
        c.embed_images([png() * 4])
    assert toy.recommend(["u0"])  # the server stays up


@pytest.mark.parametrize(
    ("code", "details", "error"),
    [
        ("CANCELLED", "", ServerBusyError),  # of gRPC's core in a server that does not keep up
        (
            "RESOURCE_EXHAUSTED",
            "At most 256 requests may be in progress. The server is full. Try later.",
            ServerBusyError,
        ),
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", ServerBusyError),
        ("RESOURCE_EXHAUSTED", "Too many pending requests for this server", ServerBusyError),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (300 vs. 200)", MessageTooLargeError),
        ("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full", ServerBusyError),
        ("UNAVAILABLE", "GOAWAY received; Error code: 11; Debug Text: too_many_pings", ServerBusyError),
        ("UNAVAILABLE", "Stream refused by server", ServerBusyError),
        ("UNAVAILABLE", "Server shut down gracefully", ServerUnavailableError),
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", ServerUnavailableError),
    ],
)
def test_what_means_that_the_server_is_full(code: str, details: str, error: type[ServingError]) -> None:
    call = CallSite("localhost:1", "recommender", "recommend", 30.0)
    assert type(error_from_grpc(grpc.StatusCode[code], details, call=call)) is error


def test_no_server_responds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        with Client(target) as client, pytest.raises(ServerUnavailableError, match=target):
            client.recommend(["u0"])


def test_a_closed_client(toy_server: LocalServer) -> None:
    client = Client(toy_server.target)
    client.close()
    with pytest.raises(ServingError, match="must be open"):
        client.recommend(["u0"])


@pytest.fixture
def old_server(tmp_path: Path) -> Iterator[LocalServer]:
    save(OldRecommender(), tmp_path / "recommender" / "1", "score")
    with LocalServer({"recommender": tmp_path / "recommender"}) as server:
        yield server


def test_a_model_of_another_release(old_server: LocalServer) -> None:
    with (
        Client(old_server.target) as client,
        pytest.raises(IncompatibleModelError, match=r"'known_items' of score .* must be in the response"),
    ):
        client.score(["u0"], ["i0"])
