"""Who may call: TLS and tokens on both ports, names in Host headers, and what no answer names."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hostile_requests import good_request
from serving_toy_models import save

from tfdvbpr_serving.client import AsyncClient, Client
from tfdvbpr_serving.client.channels import Tls, is_local
from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.errors import AccessDeniedError, ServerStartError, ServerUnavailableError
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.server.access import Access, ServerTls, is_loopback, read_tokens
from tfdvbpr_serving.server.requests import RequestError
from tfdvbpr_serving.server.server import LocalServer

CERTIFICATE = Path(__file__).parents[1] / "certificate"  # the folder says what it is for
TLS = ServerTls(CERTIFICATE / "server.pem", CERTIFICATE / "server.key")
OLD, NEW = "the-token-until-today", "the-token-from-today-on"
SCORE = {"signature_name": "score", "instances": [{"user_ids": "u0", "item_ids": ["i2"]}]}
PREDICT = "/v1/models/recommender:predict"


@pytest.fixture(scope="module")
def server(model_folders: dict[str, Path]) -> Iterator[LocalServer]:
    access = Access(tls=TLS, tokens=(OLD, NEW), allowed_hosts=("models.example",))
    limits = ServerLimits(max_connections=8, read_seconds=2.0)
    models = {"recommender": model_folders["recommender"]}
    with LocalServer(models, rest_port=0, access=access, limits=limits) as server:
        yield server


def request(
    server: LocalServer, method: str, path: str, *, token: str | None = None, host: str | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """One request over TLS whose certificate is verified."""
    trust = ssl.create_default_context(cafile=str(CERTIFICATE / "server.pem"))
    connection = http.client.HTTPSConnection(str(server.rest_url).removeprefix("https://"), context=trust, timeout=30)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = json.dumps(SCORE) if method == "POST" else None
    connection.request(method, path, body, headers if host is None else headers | {"Host": host})
    response = connection.getresponse()
    status, text = response.status, response.read().decode()
    connection.close()
    return status, text, response.headers


def test_grpc_answers_over_tls_and_with_a_token_alone(server: LocalServer) -> None:
    tls = Tls(CERTIFICATE / "server.pem")
    for token in (OLD, NEW):
        with Client(server.target, tls=tls, token=token) as client:
            assert client.score(["u0"], ["i2"]).scores.item() == 1
    for wrong in (None, "", OLD[:-1], OLD + "x", NEW.upper()):
        with Client(server.target, tls=tls, token=wrong or None) as client:
            for call in (client.model_status, client.metadata, lambda client=client: client.recommend(["u0"])):
                with pytest.raises(AccessDeniedError, match="with a token of this server"):
                    call()
    with Client(server.target, max_retries=0, timeout_seconds=5) as client, pytest.raises(ServerUnavailableError):
        client.model_status()

    async def scored() -> float:
        async with AsyncClient(server.target, tls=tls, token=NEW) as client:
            return float((await client.score(["u0"], ["i2"])).scores.item())

    assert asyncio.run(scored()) == 1


def test_health_needs_no_token_and_the_other_services_do(server: LocalServer) -> None:
    credentials = grpc.ssl_channel_credentials((CERTIFICATE / "server.pem").read_bytes())
    with grpc.secure_channel(server.target, credentials) as channel:
        response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert response.status == health_pb2.HealthCheckResponse.SERVING
        for method in (*messages.METHODS, "/tensorflow.serving.PredictionService/None", "/grpc.health.v1.Health/Watch"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(b"", timeout=30)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    status, text, _ = request(server, "GET", "/health", host="10.1.2.3:8501")
    assert (status, json.loads(text)) == (200, {"status": "SERVING"})


def test_rest_answers_over_tls_and_with_a_token_alone(server: LocalServer) -> None:
    for token in (OLD, NEW):
        status, text, _ = request(server, "POST", PREDICT, token=token)
        assert (status, json.loads(text)["predictions"][0]["scores"]) == (200, [1])
    for path in ("/v1/models/recommender", "/v1/models/none", "/monitoring/prometheus/metrics", "/"):
        for wrong in (None, "", OLD + "x", "Basic " + OLD):
            status, text, headers = request(server, "GET", path, token=wrong)
            assert (status, headers["WWW-Authenticate"], headers["Connection"]) == (401, "Bearer", "close")
            assert "recommender" not in text
    assert request(server, "POST", PREDICT)[0] == 401
    assert request(server, "GET", "/monitoring/prometheus/metrics", token=OLD)[0] == 200
    with pytest.raises(httpx.HTTPError):
        httpx.get(str(server.rest_url).replace("https", "http") + "/health")


def test_a_website_cannot_reach_rest_by_its_own_name(server: LocalServer) -> None:
    """A browser names the website in the Host header, also if the name points to this machine."""
    for host in (
        "localhost",
        "LOCALHOST:8501",
        "127.0.0.1:1",
        "[::1]:8501",
        "10.0.0.7",
        "models.example.",
        "models.example:80",
    ):
        assert request(server, "POST", PREDICT, token=OLD, host=host)[0] == 200, host
    for host in (
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1].evil",
        "::1.evil",
        "",
    ):
        status, text, _ = request(server, "POST", PREDICT, token=OLD, host=host)
        assert (status, "--allowed-host" in text) == (403, True), host


def test_without_tls_and_tokens_the_host_is_still_compared(toy_server: LocalServer) -> None:
    url = f"{toy_server.rest_url}/v1/models/recommender"
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(url).status_code == 200


def test_handshakes_that_never_end_shut_out_nobody_and_are_cut_off(server: LocalServer) -> None:
    """Of gRPC, 7 of the 8 connections that it takes; of REST, twice as many as it takes."""
    silent = []
    for address, count in ((server.target, 7), (str(server.rest_url).removeprefix("https://"), 16)):
        host, port = address.rsplit(":", 1)
        silent += [socket.create_connection((host, int(port)), timeout=30) for _ in range(count)]
    assert request(server, "POST", PREDICT, token=OLD)[0] == 200
    with Client(server.target, tls=Tls(CERTIFICATE / "server.pem"), token=OLD) as client:
        assert client.model_status()
    assert all(ended(one) for one in silent)


def ended(one: socket.socket) -> bool:
    with one:
        try:
            while one.recv(2**16):
                pass
        except ConnectionResetError:
            pass
    return True


def test_an_address_that_other_machines_reach_needs_a_token(model_folders: dict[str, Path]) -> None:
    for host in ("0.0.0.0", "[::]", "192.0.2.7", "shop.example"):
        with pytest.raises(ServerStartError, match="--token-file FILE, or --allow-anonymous"):
            LocalServer(model_folders, host=host)
        LocalServer(model_folders, host=host, access=Access(tokens=(OLD,))).stop()
    LocalServer(model_folders, host="0.0.0.0", access=Access(allow_anonymous=True)).stop()
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "[::1]", "127.9.9.9", "0.0.0.0")] == [True] * 4 + [
        False
    ]


def test_certificates_and_token_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "other.key").write_text("no key")
    for certificate, key in (
        (CERTIFICATE / "server.pem", tmp_path / "other.key"),
        (CERTIFICATE / "server.key", CERTIFICATE / "server.pem"),
        (tmp_path / "none", CERTIFICATE / "server.key"),
    ):
        with pytest.raises(ServerStartError, match="must be PEM files of a certificate and its key"):
            ServerTls(certificate, key)
    file = tmp_path / "tokens"
    file.write_text(f"{OLD}\n{NEW}\n")
    assert read_tokens(file) == (OLD, NEW)
    assert OLD not in repr(Access(tokens=(OLD,)))
    for text in ("", "\n \n"):
        file.write_text(text)
        with pytest.raises(ServerStartError, match="must have a token in it"):
            read_tokens(file)
    file.write_text("too-short")
    with pytest.raises(ValueError, match="at least 16 characters") as caught:
        read_tokens(file)
    assert "too-short" not in str(caught.value)
    file.write_bytes(b"\xff" * 40)
    for path in (file, tmp_path / "none"):
        with pytest.raises(ServerStartError, match="must be a file of tokens"):
            read_tokens(path)


def test_a_client_sends_no_token_over_the_network_unencrypted() -> None:
    with pytest.raises(ValueError, match="must not cross the network unencrypted"):
        Client("models.example:8500", token=OLD)
    with pytest.raises(ValueError, match="white space"):
        Client("localhost:8500", token=OLD + "\n")
    for target in (
        "localhost:8500",
        "127.0.0.1:8500",
        "[::1]:8500",
        "dns:///localhost:8500",
        "ipv4:127.0.0.1:8500",
        "unix:/x",
    ):
        assert is_local(target), target
        Client(target, token=OLD).close()
    for target in (
        "localhost.evil.example:8500",
        "127.0.0.1.evil.example:1",
        "10.0.0.7:8500",
        "dns://8.8.8.8/localhost:1",
    ):
        assert not is_local(target), target


class Reader(tf.Module):
    """Reads a file whose path is in the graph; none is there."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def read(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.fill(tf.shape(x), tf.io.read_file("/srv/models/secret folder/words.txt"))}


def test_a_models_error_names_no_path(tmp_path: Path) -> None:
    save(Reader(), tmp_path / "reader" / "1", serving_default="read")
    inputs = {"x": np.array([b"a"], object)}
    call = messages.predict_request(messages.model_spec("reader"), inputs)
    with LocalServer({"reader": tmp_path / "reader"}, rest_port=0) as server:
        with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(messages.PREDICT)(call.SerializeToString(), timeout=30)
        rest = httpx.post(f"{server.rest_url}/v1/models/reader:predict", json={"inputs": ["a"]}).text
    for text in (caught.value.details(), rest):
        assert "No such file" in text
        assert "/srv" not in text
        assert "words" not in text


def test_errors_have_no_control_characters(toy_server: LocalServer) -> None:
    name = "shop\x1b[2J\n"
    with (
        Client(toy_server.target, recommender_name=name) as client,
        pytest.raises(Exception, match="not found") as caught,
    ):
        client.score(["u0"], ["i2"])
    assert "\x1b" not in str(caught.value)
    text = httpx.get(f"{toy_server.rest_url}/v1/models/shop%1B[2J").json()["error"]
    assert ("\x1b" in text, r"\x1b" in text) == (False, True)
    error = RequestError(grpc.StatusCode.NOT_FOUND, name)
    assert error.message == str(error) == r"shop\x1b[2J\n"


def test_requests_of_a_good_caller_beside_those_of_a_bad_one(server: LocalServer) -> None:
    good = good_request(np.random.default_rng(0), "score")
    credentials = grpc.ssl_channel_credentials((CERTIFICATE / "server.pem").read_bytes())
    with grpc.secure_channel(server.target, credentials) as channel:
        predict = channel.unary_unary(messages.PREDICT)
        refused = [predict.future(good.SerializeToString(), timeout=30) for _ in range(20)]
        assert predict(good.SerializeToString(), metadata=[("authorization", f"bearer {NEW}")], timeout=30)
        assert {call.code() for call in refused} == {grpc.StatusCode.UNAUTHENTICATED}
