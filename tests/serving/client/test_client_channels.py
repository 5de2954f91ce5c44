"""How the client reaches a server: TLS with and without a client's own certificate, compression, retries, time."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.client.channels import Tls
from tfdvbpr_serving.errors import DeadlineError, ServerUnavailableError
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tfdvbpr_serving.server.server import LocalServer


class StatusServer:
    """Serves GetModelStatus alone, after the given failures."""

    def __init__(self, *failures: grpc.StatusCode, seconds: float = 0.0) -> None:
        self.failures = list(failures)
        self.seconds = seconds
        self.calls = 0
        self.subject: bytes | None = None

    def status(self, request: object, context: grpc.ServicerContext) -> object:
        self.calls += 1
        names = context.auth_context().get("x509_common_name")
        self.subject = names[0] if names else None
        time.sleep(self.seconds)
        if self.failures:
            context.abort(self.failures.pop(0), "not now")
        response = GetModelStatusResponse()
        response.model_version_status.add(version=7, state=30)
        return response


@contextmanager
def serving(
    service: StatusServer, credentials: grpc.ServerCredentials | None = None, *, port: int = 0
) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(
        service.status,
        request_deserializer=GetModelStatusRequest.FromString,
        response_serializer=GetModelStatusResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", {"GetModelStatus": handler})
    server.add_generic_rpc_handlers((handlers,))
    if credentials is None:
        port = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield port
    server.stop(None).wait()


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_unavailable_is_retried() -> None:
    service = StatusServer(UNAVAILABLE, UNAVAILABLE)
    with serving(service) as port, Client(f"127.0.0.1:{port}") as client:
        assert client.model_status()[0].version == 7
        assert service.calls == 3


def test_retries_end() -> None:
    for retries, calls in ((3, 4), (0, 1)):
        service = StatusServer(*[UNAVAILABLE] * 9)
        with serving(service) as port, Client(f"127.0.0.1:{port}", max_retries=retries) as client:
            with pytest.raises(ServerUnavailableError, match="not now"):
                client.model_status()
            assert service.calls == calls


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT],
)
def test_nothing_else_is_retried(code: grpc.StatusCode) -> None:
    service = StatusServer(code)
    with serving(service) as port, Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(Exception, match="not now"):
            client.model_status()
        assert service.calls == 1
        assert client.model_status()[0].version == 7


def test_retries_end_with_the_deadline() -> None:
    service = StatusServer(*[UNAVAILABLE] * 9, seconds=0.2)
    with serving(service) as port, Client(f"127.0.0.1:{port}", timeout_seconds=0.3, max_retries=4) as client:
        with pytest.raises((DeadlineError, ServerUnavailableError)):
            client.model_status()
        assert service.calls < 5


def test_a_server_that_starts_a_little_late() -> None:
    with serving(StatusServer()) as port:
        pass  # the port is free again
    with Client(f"127.0.0.1:{port}", max_retries=4) as client, futures.ThreadPoolExecutor(1) as pool:
        status = pool.submit(client.model_status)
        time.sleep(0.05)
        with serving(StatusServer(), port=port):
            assert status.result(10)[0].version == 7


def test_compression(toy_server: LocalServer) -> None:
    users = [f"user-{number}" for number in range(60)]
    for compression in ("gzip", "deflate", None):
        with Client(toy_server.target, compression=compression) as client:
            assert len(client.recommend(users, k=1, allow_unknown=True)) == 60


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate for localhost and a client's, all new and good for a day."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:models.example")
    for name in ("server", "client"):
        openssl("req", *new[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "1", "-out", f"{name}.pem", "-extfile", "names"),
        )
    return folder


def server_credentials(folder: Path, *, wants_client: bool) -> grpc.ServerCredentials:
    pair = [((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())]
    roots = (folder / "ca.pem").read_bytes() if wants_client else None
    return grpc.ssl_server_credentials(pair, roots, wants_client)


def test_tls(certificates: Path) -> None:
    with serving(StatusServer(), server_credentials(certificates, wants_client=False)) as port:
        for tls, host in (
            (Tls(certificates / "ca.pem"), "localhost"),
            (Tls((certificates / "ca.pem").read_bytes(), server_name="models.example"), "127.0.0.1"),
        ):
            with Client(f"{host}:{port}", tls=tls) as client:
                assert client.model_status()[0].version == 7
        for wrong in (Tls(certificates / "client.pem"), None):
            with (
                Client(f"localhost:{port}", tls=wrong, max_retries=0, timeout_seconds=5) as client,
                pytest.raises(ServerUnavailableError, match="credentials"),
            ):
                client.model_status()


def test_mutual_tls(certificates: Path) -> None:
    service = StatusServer()
    with serving(service, server_credentials(certificates, wants_client=True)) as port:
        both = Tls(certificates / "ca.pem", certificates / "client.key", str(certificates / "client.pem"))
        with Client(f"localhost:{port}", tls=both) as client:
            assert client.model_status()[0].version == 7
        assert service.subject == b"client"
        with (
            Client(f"localhost:{port}", tls=Tls(certificates / "ca.pem"), max_retries=0, timeout_seconds=5) as client,
            pytest.raises(ServerUnavailableError),
        ):
            client.model_status()


def test_half_an_identity() -> None:
    with pytest.raises(ValueError, match="must be given together"):
        Tls(client_key=b"x")
    with pytest.raises(FileNotFoundError):
        Client("localhost:1", tls=Tls("no such file"))
