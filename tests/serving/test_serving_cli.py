from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from serving_toy_models import save_designer

from tfdvbpr_serving.cli import main
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.server import LocalServer

COMMAND = [sys.executable, "-m", "tfdvbpr_serving.cli"]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "COLUMNS": "120",
    "NO_COLOR": "1",
}


def test_serves_until_sigterm(model_folders: dict[str, Path]) -> None:
    folders = [str(path) for path in model_folders.values()]
    process = subprocess.Popen(
        [*COMMAND, *folders, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.search(r"Serving on (\S+)", line):
                with Client(found.group(1)) as client:
                    assert client.recommend(["u0"], k=1)[0].item_ids == ("i5",)
                break
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert "recommender" in printed
    assert "design, generate" in printed
    assert "Stopping." in rest


def test_help_loads_no_tensorflow() -> None:
    code = (
        "import sys; sys.argv = ['tfdvbpr-serve', '--help']\n"
        "from tfdvbpr_serving.cli import main\n"
        "try: main()\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert out.stdout.rstrip().endswith("False")
    assert "--poll-seconds" in out.stdout
    assert "tfdvbpr-serve models/recommender models/designer" in out.stdout


def complaint(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["tfdvbpr-serve", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("tfdvbpr-serve: ")
    assert err.count("\n") == 1
    return err


def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    tmp_path: Path,
    model_folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "no such folder" in complaint([str(tmp_path / "missing")], monkeypatch, capsys)
    (tmp_path / "empty").mkdir()
    assert "Received none" in complaint([str(tmp_path / "empty")], monkeypatch, capsys)
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "saved_model.pb").write_bytes(b"x")
    assert "must be a SavedModel" in complaint([str(tmp_path / "bad"), "--port", "0"], monkeypatch, capsys)
    save_designer(tmp_path / "designer" / "1")
    twice = [str(tmp_path / "designer"), str(model_folders["designer"])]
    assert "'designer' twice" in complaint(twice, monkeypatch, capsys)
    with LocalServer({"designer": tmp_path / "designer"}) as server:
        taken = [str(tmp_path / "designer"), "--port", str(server.port)]
        assert "Choose another port" in complaint(taken, monkeypatch, capsys)
