"""Runs a command for each line on stdin in a process that is forked off: imports are paid once.

A line is JSON: {"program": "tfdvbpr", "arguments": [...], "log": a file for stdout and stderr}, or {"mount": a folder,
"options": "size=64k"} for a small tmpfs there. For a command it prints the process's number and, later, its exit code.
Nothing of TensorFlow may run before the fork; importing it is safe.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from typing import Any

MAINS = {"tfdvbpr": "tfdvbpr.cli", "tfdvbpr-export": "tfdvbpr_export.cli", "tfdvbpr-serve": "tfdvbpr_serving.cli"}
_IMPORTED = (
    "tfdvbpr.api",
    "tfdvbpr.evaluation.ranking.evaluate",
    "tfdvbpr.training.gan.train",
    "tfdvbpr.training.recommender.train",
    "tfdvbpr_export.designer.heads",
    "tfdvbpr_export.recommender.heads",
    "tfdvbpr_serving.server.server",
)


def _run(request: dict[str, Any]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    sys.stdin.close()
    sys.argv = [request["program"], *request["arguments"]]
    code = 0
    try:
        importlib.import_module(MAINS[request["program"]]).main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    for module in (*MAINS.values(), *_IMPORTED):
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "mount" in request:
            mounted = os.path.ismount(request["mount"])
            options = ("remount," if mounted else "") + request["options"]
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", request["mount"]], check=True)
            print("mounted", flush=True)
            continue
        child = os.fork()
        if child == 0:
            _run(request)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


main()
