"""Reads files from outside in a child process with limited memory and time, which may fail without harm.

A pickle of a few bytes can ask for gigabytes, end the process by its nesting, or keep it busy for ever. The child has
little more memory than the file's own size needs; what it hands back is JSON and bytes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tfdvbpr.errors import SourceError

# Of the child, beside what Python itself takes: so much, and so much for each byte of the file.
MEMORY, MEMORY_PER_BYTE = 1 << 30, 4
SECONDS, BYTES_PER_SECOND = 120, 1 << 20
# By itself, pyarrow reserves a gigabyte of address space for threads.
_ARROW = {"ARROW_IO_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}

Reader = Callable[[Path, BinaryIO], Any]


def read_in_child(reader: Reader, path: Path, output: int, *, num_bytes: int | None = None) -> Any:
    """Calls `reader(path, output)` in a child process and returns what it returned, through JSON.

    Args:
        reader: a function of a module; it writes what is no JSON to the file, and raises `SourceError`.
        path: the file to read. Its size sets the limits: 1 GiB and 4 bytes of memory for each of its own, 120 s and
            1 s of processor time for each MiB. A system without such limits sets none.
        output: the descriptor of an open file, for the reader to write to.
        num_bytes: the size of all that is read, where `path` is a folder.

    Raises:
        SourceError: the reader's; or if the child needs more than its limits, or crashes.
    """
    size = path.stat().st_size if num_bytes is None else num_bytes
    memory, seconds = MEMORY + MEMORY_PER_BYTE * size, SECONDS + size // BYTES_PER_SECOND
    arguments = [reader.__module__, reader.__qualname__, str(path), str(output), str(memory), str(seconds)]
    # Started by a command, not forked: TensorFlow's threads may hold locks.
    process = subprocess.Popen(
        [sys.executable, "-c", "from tfdvbpr import child; child.main()", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(output,),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_ARROW},
    )
    try:
        answer, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
    try:
        kind, value = json.loads(answer)
    except ValueError:  # nothing, or a part
        raise SourceError(
            f"{path.name} must be readable within {memory >> 20:,} MiB and {seconds:,} s, by its size. The process "
            f"that read it ended with {process.returncode}. Do not trust the file."
        ) from None
    if kind == "error":
        raise SourceError(value)
    return value


def main() -> None:
    """The child: reads, and prints ["value", ...] or ["error", "a sentence"] as JSON."""
    module, name, path, output, memory, seconds = sys.argv[1:]
    reader: Reader = getattr(importlib.import_module(module), name)
    _limit(int(memory), int(seconds))
    gc.disable()  # it would look at each level of a nesting again and again
    try:
        with open(int(output), "wb", closefd=False) as file:
            text = json.dumps(["value", reader(Path(path), file)])
    except SourceError as error:
        text = json.dumps(["error", str(error)])
    except MemoryError:
        sentence = f"{Path(path).name} must need no more memory than its size allows. It does. Do not trust the file."
        text = json.dumps(["error", sentence])
    except Exception as error:  # a file from outside can fail in any way
        sentence = f"{Path(path).name} must be whole. It cannot be read: {type(error).__name__}: {error}."
        text = json.dumps(["error", f"{sentence} Fetch the file again."])
    sys.stdout.write(text)
    sys.stdout.flush()
    os._exit(0)  # what was built may be nested too deeply to be taken apart


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits here
        return
    limits = {
        resource.RLIMIT_AS: _own_memory(resource.getpagesize()) + memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        try:
            resource.setrlimit(kind, (limit, most))
        except (OSError, ValueError):  # a system that knows the limit but not how to set it
            continue


def _own_memory(page: int) -> int:
    """Bytes of address space that Python and what it has imported take."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * page
    except (OSError, ValueError):
        return 4 << 30
