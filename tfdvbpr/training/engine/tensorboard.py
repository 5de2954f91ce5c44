"""TensorBoard's files: scalars, images, the items' embeddings with their images, and where the time of a step goes."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.text import one_line
from tfdvbpr.training.checkpoints.file import assign, values, variables
from tfdvbpr.training.distributed.strategy import local_replicas
from tfdvbpr.training.engine.callbacks import RowWriter
from tfdvbpr.training.engine.loop import Batches, Trainer, distributed_step

PROFILE_FOLDER = "profile"
# TensorBoard's projector takes a sprite of at most 8192 pixels a side.
_SPRITE_SIDE = 8192
_THUMB = 64
_MOST_POINTS = 10_000
_STEPS = 4
_WARM = 2

Losses = dict[str, Any]


class TensorBoard(RowWriter):
    """Writes what `tensorboard --logdir` shows: the journal's rows as scalars, and grids of images.

    Unlike Keras's TensorBoard callback it continues after an interruption: what was written after the checkpoint is
    hidden.
    """

    def __init__(self, folder: Path, learning_rates: Callable[[], Mapping[str, float]] = dict) -> None:
        super().__init__(learning_rates)
        self.folder = folder
        self._writer: Any = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Opens an event file."""
        self.open(self.progress.total_steps)

    def open(self, step: int) -> None:
        """Opens an event file; what an interrupted training wrote after `step` is hidden."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(self.folder))
        if step:
            self._add(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, row: Mapping[str, Any]) -> None:
        """Writes the numbers of a row as scalars of its kind."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=f"{row['kind']}/{name}", simple_value=value)
            for name, value in row.items()
            if name not in ("step", "epoch", "kind") and math.isfinite(value)
        ]
        self._add(Event(step=int(row["step"]), summary=Summary(value=scalars)))

    def images(self, name: str, images_uint8: npt.NDArray[np.uint8], *, step: int) -> None:
        """Writes a grid of images, uint8 [rows, columns, H, W, 3]."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        rows, columns, height, width, _ = images_uint8.shape
        grid = images_uint8.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
        buffer = io.BytesIO()
        Image.fromarray(grid).save(buffer, format="PNG")
        image = Summary.Image(
            height=len(grid), width=columns * width, colorspace=3, encoded_image_string=buffer.getvalue()
        )
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)])))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)

    def close(self) -> None:
        """Flushes everything to the disk."""
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
        embeddings: float32 [num_items, D].
        labels: (item id, category) of each item.
        read: images of item rows, uint8 [N, H, W, 3]; None for no images.
    """
    from tensorboard.plugins import projector

    folder.mkdir(parents=True, exist_ok=True)
    count = len(embeddings)
    rows = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).astype(np.int32))
    np.savetxt(folder / "embeddings.tsv", embeddings[rows], fmt="%.6g", delimiter="\t")
    lines = ["item_id\tcategory", *("\t".join(one_line(cell) for cell in labels[row]) for row in rows)]
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
    """One large image of thumbnails on white, in the rows' order; returns the side of a thumbnail in pixels."""
    across = math.ceil(math.sqrt(len(rows)))
    side = min(_THUMB, _SPRITE_SIDE // across)
    sprite = Image.new("RGB", (across * side, across * side), "white")
    for number, row in enumerate(rows):
        thumbnail = Image.fromarray(read(np.array([row], np.int32))[0])
        thumbnail.thumbnail((side, side))
        left, top = number % across * side, number // across * side
        sprite.paste(thumbnail, (left + (side - thumbnail.width) // 2, top + (side - thumbnail.height) // 2))
    sprite.save(path)
    return side


class ProfiledTrainer(Trainer, Protocol):
    """A trainer whose step can be run in parts."""

    @property
    def parts(self) -> Mapping[str, Callable[[Mapping[str, Any]], Losses]]:
        """Replica steps, each of which does what the one before does and more; the last is the whole step."""


@dataclass(frozen=True)
class StepProfile:
    """Seconds of one training step, each the median of a few.

    Attributes:
        seconds: by name: `input` (sampling and reading a batch, with nothing else running), then what each part adds.
        step_seconds: of the whole step, without its input.
        images: encoded a step, over all replicas.
        folder: TensorBoard's profile; None where none was taken.
    """

    seconds: Mapping[str, float]
    step_seconds: float
    images: int
    folder: Path | None

    def rows(self) -> list[tuple[str, str, str]]:
        """(part, milliseconds, share of the step); input, which runs beside the step, has a share too."""
        return [
            (name, f"{1000 * spent:.1f}", f"{spent / self.step_seconds:.0%}")
            for name, spent in (*self.seconds.items(), ("step", self.step_seconds))
        ]


def profile_steps(trainer: ProfiledTrainer, strategy: Any, folder: Path | None) -> StepProfile:
    """Runs a few steps in parts and a few under TensorFlow's profiler, and restores all that they changed.

    A part is a step that is compiled separately and ends early: forward alone, forward and backward, the whole. A part
    takes the difference to the one before. TensorFlow prunes what no output depends on, so each returns a number that
    depends on all it computed. TensorBoard's profile goes into `folder`; None for none.
    """
    named = variables(trainer.trackables())
    kept = values(named)
    batches, input_seconds = _timed_batches(trainer.batches, local_replicas(strategy))
    spent = {name: _median_seconds(distributed_step(strategy, part), batches) for name, part in trainer.parts.items()}
    if folder is not None:
        _trace(distributed_step(strategy, trainer.replica_step), batches, folder)
    assign(named, kept)
    ends = list(spent.values())
    added = {name: max(end - before, 0.0) for name, end, before in zip(spent, ends, [0.0, *ends[:-1]], strict=True)}
    return StepProfile({"input": input_seconds, **added}, ends[-1], trainer.batches.images_per_step, folder)


def _timed_batches(batches: Batches, replicas: Sequence[int]) -> tuple[list[Sequence[Batch]], float]:
    """A few steps' batches, and the median seconds that one took to prepare."""
    found: list[Sequence[Batch]] = []
    spent = []
    epoch = 0
    while len(found) <= _STEPS:
        steps = batches.epoch(epoch, replicas=replicas)
        for _ in range(min(batches.steps_per_epoch, _STEPS + 1 - len(found))):
            began = time.perf_counter()
            found.append(next(steps))
            spent.append(time.perf_counter() - began)
        epoch += 1
    return found, float(np.median(spent[1:]))  # the first one compiles the decoder


def _median_seconds(step: Callable[[Sequence[Batch]], Losses], batches: Sequence[Sequence[Batch]]) -> float:
    spent = []
    for number in range(_WARM + _STEPS):
        began = time.perf_counter()
        for loss in step(batches[number % len(batches)]).values():
            float(loss)  # waits for the device
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[_WARM:]))


def _trace(step: Callable[[Sequence[Batch]], Losses], batches: Sequence[Sequence[Batch]], folder: Path) -> None:
    step(batches[0])
    tf.profiler.experimental.start(str(folder))
    try:
        for number, batch in enumerate(batches[:_STEPS]):
            with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                for loss in step(batch).values():
                    float(loss)
    finally:
        tf.profiler.experimental.stop()
