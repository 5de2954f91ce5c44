"""What the terminal shows, as text: prepare, train, train-gan and design at 80 and 140 columns, for the documentation.

`python tests/benchmarks/terminal_captures.py WORK` makes a small shop of rendered garments in WORK, runs the commands
on a pseudo-terminal, and writes docs/guides/terminal.md. It needs `pip install pyte`, which reads what a terminal would
show. A few minutes on two cores; captures are kept in WORK, and those that are there are not made again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing import Process
from pathlib import Path
from typing import Any, NoReturn

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "terminal.md"
WIDTHS = (80, 140)
COMMANDS = (
    "tfdvbpr prepare shop --image-size 32x32 --output shop.dataset",
    "tfdvbpr train shop.dataset --model dvbpr --set epochs=6 --output runs/dvbpr",
    "tfdvbpr train-gan shop.dataset --preset plain --set steps=60 --set base_channels=4 --output runs/gan",
    "tfdvbpr design runs/dvbpr --gan runs/gan --user user-00007 --category dress --count 4 --output designs",
)
# Loaded once, before the commands' processes are forked. Rich reads the terminal when it is loaded, so not before.
_PRELOADED = ("tensorflow", "keras", "scipy.stats", "scipy.ndimage", "matplotlib.figure")
_LINES = 400  # more than a command prints, so that nothing is scrolled away
_SHOWN_AFTER = 0.4  # of the steps
_BAR = re.compile(r"([\d,]+)/([\d,]+) +\S+ (?:left|so far)")
_INTRODUCTION = """# What the terminal shows

Captures of four commands at 80 and at 140 columns, on a shop of {items} rendered garments. Sizes are small, so that the
page can be made again in minutes; the images are not worth seeing. First stands the bar while a command runs, then what
is left when it has ended. The bar shows the part that is done, the time that is left and the rate; figures of the
training follow as the width allows. Without a terminal a line comes every 30 s in the place of the bar.

`python tests/benchmarks/terminal_captures.py WORK` runs the commands on a pseudo-terminal and writes this page.
"""


@dataclass
class Capture:
    """The screen of one command.

    Attributes:
        command: as it was typed.
        columns: of the terminal.
        running: the line of the progress bar, when a good part of the work was done; "" if the command had none.
        ended: the screen's lines at the end.
    """

    command: str
    columns: int
    running: str = ""
    ended: list[str] = field(default_factory=list)


def capture(command: str, columns: int, folder: Path) -> Capture:
    """Runs a command on a pseudo-terminal; RuntimeError where it fails."""
    import pyte

    screen = pyte.Screen(columns, _LINES)
    stream = pyte.ByteStream(screen)
    process, ours = pty.fork()
    if not process:
        _become(command, columns, folder)
    found = Capture(command, columns)
    while _feed(stream, ours):
        if not found.running:
            found.running = _bar_of(screen)
    os.close(ours)
    found.ended = _shown(screen)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        raise RuntimeError(f"{command} ended with exit code {code}:\n" + "\n".join(found.ended))
    return found


def _become(command: str, columns: int, folder: Path) -> NoReturn:
    """Runs a command in the place of this process, on its terminal."""
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    os.chdir(folder)
    os.environ["TERM"] = "xterm-256color"
    sys.argv = command.split()
    from tfdvbpr.cli import main as run_command

    code: Any = 0
    try:
        run_command()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _feed(stream: Any, terminal: int) -> bool:
    """Passes on what the program wrote; False when it has closed the terminal."""
    select.select([terminal], [], [])
    try:
        data = os.read(terminal, 65536)
    except OSError:  # Linux says so in the place of an end of the file
        return False
    stream.feed(data)
    return bool(data)


def _shown(screen: Any) -> list[str]:
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _bar_of(screen: Any) -> str:
    """The line of a progress bar that is far enough."""
    for line in _shown(screen):
        if counts := _BAR.search(line):
            done, total = (int(text.replace(",", "")) for text in counts.groups())
            if done >= _SHOWN_AFTER * total:
                return line
    return ""


def page(captures: list[Capture], *, num_items: int) -> str:
    """The documentation's page."""
    parts = [_INTRODUCTION.format(items=num_items)]
    for command in dict.fromkeys(each.command for each in captures):
        parts.append(f"## {command.split()[1]}\n\n    {command}\n")
        for each in captures:
            if each.command == command:
                parts.append(f"At {each.columns} columns:\n\n```text\n" + "\n".join(_block(each)) + "\n```\n")
    return "\n".join(parts)


def _block(each: Capture) -> list[str]:
    return [*([each.running, ""] if each.running else []), *each.ended]


def write_shop(folder: Path, num_items: int) -> None:
    """Renders a shop; in a process of its own, since those that are forked must not inherit Polars' threads."""
    from tfdvbpr.data.synthetic.source import SyntheticImporter, write_synthetic

    write_synthetic(folder, SyntheticImporter(num_items=num_items, num_users=150, image_size=64))


def _captures(columns: int, work: Path, num_items: int) -> Iterator[Capture]:
    """Runs every command at one width, in a folder of its own."""
    folder = (work / str(columns)).resolve()
    if not (folder / "shop").exists():
        shop = Process(target=write_shop, args=(folder / "shop", num_items))
        shop.start()
        shop.join()
    for number, command in enumerate(COMMANDS):
        kept = folder / f"{number}.json"
        if not kept.exists():
            print(f"{columns} columns: {command}", flush=True)
            kept.write_text(json.dumps(asdict(capture(command, columns, folder))), encoding="utf-8")
        yield Capture(**json.loads(kept.read_text(encoding="utf-8")))


def main() -> None:
    """Runs every command at every width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--items", type=int, default=120)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as the command sets it
    for name in _PRELOADED:
        import_module(name)
    captures = [capture for columns in WIDTHS for capture in _captures(columns, arguments.work, arguments.items)]
    PAGE.write_text(page(captures, num_items=arguments.items), encoding="utf-8")
    print(f"Written: {PAGE}")


if __name__ == "__main__":
    main()
