"""Small sources and datasets that several tests, and the processes they start, share."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare
from tfdvbpr.run import Run

Command = Callable[..., tuple[int, str, str]]
RunOf = Callable[[str], Run]

RED, BLUE = (200, 40, 40), (40, 60, 200)


def noisy_picture(colour: tuple[int, int, int], size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, 3]: one colour with a little seeded noise."""
    noise = np.random.default_rng(seed).integers(-20, 21, (*size, 3))
    return (np.array(colour) + noise).clip(0, 255).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def huge_png(side: int) -> bytes:
    """A valid 1-bit PNG of side x side black pixels, some tens of kilobytes, made without the pixels in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def write_source(folder: Path, items: Sequence[tuple[str, str, bytes]], actions: Sequence[tuple[str, ...]]) -> Path:
    """Writes a source folder of (item_id, category, image file) and (user_id, item_id) or (user_id, item_id, split)."""
    (folder / "images").mkdir(parents=True)
    lines = ["item_id,category,image"]
    for number, (item_id, category, data) in enumerate(items):
        (folder / "images" / f"{number}.jpg").write_bytes(data)
        lines.append(f"{item_id},{category},images/{number}.jpg")
    (folder / "items.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    header = ("user_id", "item_id", "split")[: len(actions[0]) if actions else 2]
    rows = [",".join(row) for row in (header, *actions)]
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def checkerboard(folder: Path, *, num_users: int = 8, size: int = 32) -> PreparedDataset:
    """Users like items of their own parity, which is the picture's colour; the diagonals are held out.

    There are twice as many items as users. User u's test item is u and the validation item u + num_users.
    """
    num_items = 2 * num_users
    items = [
        (
            f"i{item}",
            ("shirt", "shoe")[item // 2 % 2],
            encoded(noisy_picture((RED, BLUE)[item % 2], (size, size), item)),
        )
        for item in range(num_items)
    ]
    held_out = {0: "test", num_users: "validation"}
    actions = [
        (f"u{user}", f"i{item}", held_out.get(item - user, "train"))
        for user in range(num_users)
        for item in range(user % 2, num_items, 2)
    ]
    write_source(folder / "source", items, actions)
    options = PrepareOptions(image_size=(size, size))
    return prepare(read_folder(folder / "source"), folder / "dataset", options=options, source_format="folder")


def random_interactions(seed: int, *, num_users: int, num_items: int, density: float) -> Interactions:
    """Training actions at random; every user has at least one."""
    generator = np.random.default_rng(seed)
    acted = generator.random((num_users, num_items)) < density
    acted[np.arange(num_users), generator.integers(0, num_items, num_users)] = True
    users, items = np.nonzero(acted)
    splits = np.full(len(users), Split.TRAIN, np.uint8)
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits, num_users, num_items)
