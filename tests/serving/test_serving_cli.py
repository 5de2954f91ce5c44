from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from serving_toy_models import save_designer

from tfdvbpr._version import __version__
from tfdvbpr_serving.cli import main
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.errors import InvalidRequestError
from tfdvbpr_serving.server.server import LocalServer

COMMAND = [sys.executable, "-m", "tfdvbpr_serving.cli"]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "COLUMNS": "120",
    "NO_COLOR": "1",
}


CONFIG = """model_config_list {
  config {
    name: "recommender" base_path: "recommender" model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 2 }
  }
  config { name: "designer" base_path: "%s" model_platform: "tensorflow" }
}
"""


def test_serves_until_sigterm_and_lets_a_design_end(model_folders: dict[str, Path], tmp_path: Path) -> None:
    """With 256 open files, of which more than 300 connections that say nothing take none for long, nor fill the log."""
    root = model_folders["recommender"].parent
    (root / "models.config").write_text(CONFIG % model_folders["designer"])
    (root / "batching.config").write_text("max_batch_size { value: 2 } batch_timeout_micros { value: 100 }")
    files = ["--models-config", str(root / "models.config"), "--batching-config", str(root / "batching.config")]
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", *COMMAND, *files, "--port", "0", "--rest-port", "0"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=ENVIRONMENT,
        )
    assert process.stdout
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.search(r"Serving on (\S+) \(gRPC\) and (\S+) \(REST", line):
                with idle_connections(300, found.group(1), found.group(2).removeprefix("http://")):
                    for _ in range(20):
                        assert httpx.get(f"{found.group(2)}/health", timeout=60).json() == {"status": "SERVING"}
                with Client(found.group(1), version_label=None) as client, ThreadPoolExecutor(1) as pool:
                    assert client.recommend(["u0"], k=1)[0].item_ids == ("i5",)
                    with pytest.raises(InvalidRequestError, match="at most 2 rows"):
                        client.recommend(["u0"] * 3)
                    assert "AVAILABLE" in httpx.get(f"{found.group(2)}/v1/models/recommender/labels/stable").text
                    # Slow enough to be under way when the signal comes.
                    design = pool.submit(client.design, ["u0"], "tops", num_steps=100_000)
                    time.sleep(0.2)
                    assert not design.done()
                    process.send_signal(signal.SIGTERM)
                    assert design.result()[0].steps == 100_000
                break
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log.read_text()
    assert log.stat().st_size < 20_000
    assert "recommender" in printed
    assert "design, generate" in printed
    assert "Stopping" in rest


@contextmanager
def idle_connections(count: int, *addresses: str) -> Iterator[None]:
    """So many connections, to each address by turns, that send nothing."""
    with ExitStack() as stack:
        for number in range(count):
            host, port = addresses[number % len(addresses)].rsplit(":", 1)
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
        yield


def test_help_loads_no_tensorflow() -> None:
    code = (
        "import sys; sys.argv = ['tfdvbpr-serve', '--help']\n"
        "from tfdvbpr_serving.cli import main\n"
        "try: main()\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert out.stdout.rstrip().endswith("False")
    assert len(set(re.findall(r"--[a-z-]+", out.stdout)) - {"--help"}) == 13
    assert all(f"--{name}" in out.stdout for name in ("poll-seconds", "models-config", "batching-config", "rest-port"))
    assert "tfdvbpr-serve models/recommender models/designer" in out.stdout


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["tfdvbpr-serve", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tfdvbpr-serve {__version__}\n"


def error_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["tfdvbpr-serve", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("tfdvbpr-serve: ")
    assert err.count("\n") == 1
    return err


def test_errors_the_user_can_correct_are_one_line_and_exit_code_2(
    tmp_path: Path,
    model_folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "no such folder" in error_of([str(tmp_path / "missing")], monkeypatch, capsys)
    (tmp_path / "empty").mkdir()
    assert "Received none" in error_of([str(tmp_path / "empty")], monkeypatch, capsys)
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "saved_model.pb").write_bytes(b"x")
    assert "must be a SavedModel" in error_of([str(tmp_path / "bad"), "--port", "0"], monkeypatch, capsys)
    assert "Received both or neither" in error_of([], monkeypatch, capsys)
    (tmp_path / "broken.config").write_text("model_config_list { config { name: 3 } }")
    broken = ["--models-config", str(tmp_path / "broken.config")]
    assert "must be a ModelServerConfig in protobuf's text form" in error_of(broken, monkeypatch, capsys)
    save_designer(tmp_path / "designer" / "1")
    twice = [str(tmp_path / "designer"), str(model_folders["designer"])]
    assert "'designer' twice" in error_of(twice, monkeypatch, capsys)
    with LocalServer({"designer": tmp_path / "designer"}) as server:
        taken = [str(tmp_path / "designer"), "--port", str(server.port)]
        assert "Choose another port" in error_of(taken, monkeypatch, capsys)


def test_who_may_call_is_checked_before_anything_is_loaded(
    tmp_path: Path, model_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, (tokens, certificate) = str(model_folders["designer"]), (tmp_path / "tokens", tmp_path / "server.pem")
    assert "--allow-anonymous" in error_of([model, "--host", "0.0.0.0"], monkeypatch, capsys)
    assert "must be given together" in error_of([model, "--tls-cert", str(certificate)], monkeypatch, capsys)
    pair = [model, "--tls-cert", str(certificate), "--tls-key", str(certificate)]
    assert "must be PEM files of a certificate" in error_of(pair, monkeypatch, capsys)
    assert "must be a file of tokens" in error_of([model, "--token-file", str(tokens)], monkeypatch, capsys)
    tokens.write_text("a-short-one")
    shown = error_of([model, "--token-file", str(tokens)], monkeypatch, capsys)
    assert ("at least 16 characters" in shown, "a-short-one" in shown) == (True, False)


def test_names_of_folders_are_printed_without_their_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = error_of([str(tmp_path / "shop\x1b[2J\u202e")], monkeypatch, capsys)
    assert r"shop\x1b[2J\u202e" in shown
