"""The Dockerfile and the compose file: what they name exists, and each step writes what the next one reads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import typer
import yaml

from tfdvbpr.cli import app
from tfdvbpr_export.cli import app as export_app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
STEPS = ["prepare", "train", "train-gan", "export"]


def _commands(service: str) -> list[list[str]]:
    """What the step runs, each as a list of arguments."""
    shell, flag, script = SERVICES[service]["command"]
    assert (shell, flag) == ("sh", "-c")
    return [shlex.split(part) for part in re.findall(r"\|\| (tfdvbpr.*?)(?:;|$)", script)]


def _outputs(command: list[str]) -> str:
    return command[command.index("--output") + 1]


def test_the_dockerfile_copies_what_is_there_and_installs_extras_that_exist() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"tfdvbpr", "export", "serving", "pyproject.toml", "requirements.lock"} <= set(names)
    assert all((ROOT / name).exists() for name in names)
    kept = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert kept == set(names)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]")[1]
    extras = re.findall(r"^(\w+) = \[", project.split("\n[")[0], flags=re.MULTILINE)
    for device, named in re.findall(r"(\w+)\) extras=([\w,]+)", DOCKERFILE):
        assert device in ("cpu", "gpu")
        assert set(named.split(",")) <= set(extras)
    assert re.search(r"^USER (?!root)", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^FROM \S+:\S+$", DOCKERFILE, flags=re.MULTILINE)  # a tag


def test_each_step_waits_for_the_one_before_it() -> None:
    for before, after in zip(STEPS, [*STEPS[1:], "serving"], strict=True):
        assert SERVICES[after]["depends_on"] == {before: {"condition": "service_completed_successfully"}}
    assert set(SERVICES) == {*STEPS, "serving"}


def test_each_step_has_its_commands_options_and_is_skipped_once_its_output_is_there() -> None:
    apps = {"tfdvbpr": app, "tfdvbpr-export": export_app}
    for step in STEPS:
        script = SERVICES[step]["command"][2]
        commands = _commands(step)
        assert commands
        for name, subcommand, *arguments in commands:
            command = typer.main.get_command(apps[name]).commands[subcommand]  # type: ignore[attr-defined]
            arguments = [argument.replace("$$GAN_MINUTES", "60") for argument in arguments]
            command.make_parser(command.context_class(command)).parse_args(arguments)
        guards = re.findall(r"test -d (\S+)", script)
        assert [guard.removesuffix("/1") for guard in guards] == [_outputs(command) for command in commands]


def test_each_step_reads_what_an_earlier_one_wrote() -> None:
    written = {"../shop"}
    for step in STEPS:
        for _, subcommand, source, *arguments in _commands(step):
            assert source in written, (step, subcommand)
            if "--gan" in arguments:
                assert arguments[arguments.index("--gan") + 1] in written
            written.add(_outputs(arguments))
    assert {"models/recommender", "models/designer"} <= written


def test_the_server_serves_what_was_exported() -> None:
    serving = SERVICES["serving"]
    assert re.fullmatch(r"tensorflow/serving:2\.20\.\d+", serving["image"])
    assert all(port.startswith("127.0.0.1:") for port in serving["ports"])
    mounts = {volume["target"]: volume for volume in serving["volumes"]}
    assert mounts["/models"]["source"].endswith("/models")
    assert all(volume["read_only"] for volume in mounts.values())
    config = (ROOT / mounts["/config/models.config"]["source"]).read_text(encoding="utf-8")
    assert re.findall(r'base_path: "(\S+)"', config) == ["/models/recommender", "/models/designer"]
    assert "--model_config_file=/config/models.config" in serving["command"]


def test_the_steps_run_as_the_user_and_the_shop_is_read_only() -> None:
    for step in STEPS:
        service = SERVICES[step]
        assert service["user"] == "${USER_ID:-1000}"
        mounts = {volume["target"]: volume for volume in service["volumes"]}
        assert mounts["/data/shop"]["read_only"]
        assert not mounts["/data/work"].get("read_only")
        assert service["working_dir"] == "/data/work"


def test_a_gpu_is_for_the_steps_that_train() -> None:
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert set(gpu) == {"train", "train-gan"}
    for service in gpu.values():
        device = service["deploy"]["resources"]["reservations"]["devices"][0]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
