"""Starts commands in processes that have imported everything already, to be killed or to meet a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


def can_mount() -> bool:
    """Whether this system lets an ordinary user mount a tmpfs in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0


class Commands:
    """A process that runs one command at a time, each in a child.

    Args:
        log: a file for what commands print.
        mounts: whether `mount` will be called.
    """

    def __init__(self, log: Path, *, mounts: bool = False) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        quiet = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "200",
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        self._log = log
        self._running = 0
        self._process = subprocess.Popen(
            [*(_UNSHARE if mounts else ()), sys.executable, str(Path(__file__).parent / "commands_script.py")],
            env={**environment, "PYTHONPATH": paths, **quiet},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def start(self, program: str, *arguments: object) -> int:
        """Begins a command; the number of its process."""
        self._ask({"program": program, "arguments": list(map(str, arguments)), "log": str(self._log)})
        self._running = int(self._line())
        return self._running

    def end(self) -> int:
        """Waits for the command's end; its exit code, negative for the signal that killed it."""
        code = int(self._line())
        self._running = 0
        return code

    def run(self, program: str, *arguments: object) -> int:
        """Runs a command to its end."""
        self.start(program, *arguments)
        return self.end()

    def printed(self) -> str:
        """What the last command printed, on stdout and stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def mount(self, folder: Path, *, size: int, inodes: int = 10_000) -> Path:
        """Makes a folder a tmpfs of so many bytes and names, or changes its room; the same as seen from here."""
        self._ask({"mount": str(folder), "options": f"size={size},nr_inodes={inodes}"})
        assert self._line() == "mounted"
        return Path(f"/proc/{self._process.pid}/root{folder}")

    def _ask(self, request: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """Ends the process, and the command that it may still run."""
        if self._running:
            os.kill(self._running, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
