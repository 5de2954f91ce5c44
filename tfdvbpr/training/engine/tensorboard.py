"""TensorBoard's files: scalars, grids of samples, and the items' embeddings with their pictures."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.training.engine.journal import Row

# TensorBoard's projector takes a sprite of at most 8192 pixels a side.
_SPRITE_SIDE = 8192
_THUMB = 64
_MOST_POINTS = 10_000


class TensorBoard:
    """Writes what `tensorboard --logdir` shows.

    Args:
        folder: where the event files go; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Opens a file; what an interrupted training wrote after `step` is shown no more."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(self.folder))
        if step:
            self._add(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def row(self, row: Row) -> None:
        """The numbers of a row of the journal, as scalars of its kind."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=f"{row['kind']}/{name}", simple_value=value)
            for name, value in row.items()
            if name not in ("step", "epoch", "kind") and math.isfinite(value)
        ]
        self._add(Event(step=int(row["step"]), summary=Summary(value=values)))

    def pictures(self, name: str, images_uint8: npt.NDArray[np.uint8], *, step: int) -> None:
        """A grid of pictures, uint8 [rows, columns, H, W, 3]."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        rows, columns, height, width, _ = images_uint8.shape
        grid = images_uint8.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
        buffer = io.BytesIO()
        Image.fromarray(grid).save(buffer, format="PNG")
        picture = Summary.Image(
            height=len(grid), width=columns * width, colorspace=3, encoded_image_string=buffer.getvalue()
        )
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=picture)])))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)

    def close(self) -> None:
        """Brings everything to the disk."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def write_projector(
    folder: Path,
    embeddings: npt.NDArray[np.float32],
    labels: Sequence[tuple[str, str]],
    read: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.uint8]] | None,
) -> None:
    """The embedding projector's files, of at most 10,000 items spread evenly over the catalogue.

    Args:
        folder: TensorBoard's.
        embeddings: float32 [num_items, D].
        labels: (item id, category) of each item.
        read: pictures of item rows, uint8 [N, H, W, 3]; None for none.
    """
    from tensorboard.plugins import projector

    folder.mkdir(parents=True, exist_ok=True)
    count = len(embeddings)
    rows = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).astype(np.int32))
    np.savetxt(folder / "embeddings.tsv", embeddings[rows], fmt="%.6g", delimiter="\t")
    lines = ["item_id\tcategory", *("\t".join(" ".join(cell.split()) for cell in labels[row]) for row in rows)]
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "items"
    embedding.tensor_path, embedding.metadata_path = "embeddings.tsv", "metadata.tsv"
    if read is not None:
        side = _write_sprite(folder / "sprite.png", rows, read)
        embedding.sprite.image_path = "sprite.png"
        embedding.sprite.single_image_dim.extend([side, side])
    projector.visualize_embeddings(str(folder), config)


def _write_sprite(
    path: Path, rows: npt.NDArray[np.int32], read: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.uint8]]
) -> int:
    """One large picture of small ones on white, in the rows' order; returns the side of a small one in pixels."""
    across = math.ceil(math.sqrt(len(rows)))
    side = min(_THUMB, _SPRITE_SIDE // across)
    sprite = Image.new("RGB", (across * side, across * side), "white")
    for number, row in enumerate(rows):
        picture = Image.fromarray(read(np.array([row], np.int32))[0])
        picture.thumbnail((side, side))
        left, top = number % across * side, number // across * side
        sprite.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    sprite.save(path)
    return side
