"""Fashion-MNIST (Xiao et al. 2017): 70,000 grey 28x28 photos in ten classes, with *simulated* users.

The data have no users. Each simulated one has a preference for each of the ten classes and acts on single items by it
and by chance, so that a recommender can learn a user's classes and nothing finer. The source's name says so.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from pydantic import Field, field_validator

from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Importer, Quarantine, Source
from tfdvbpr.data.synthetic.source import check_actions_per_user, gumbel_top_k, log_uniform_counts
from tfdvbpr.errors import SourceError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt-top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
_SIDE = 28
_IMAGES_MAGIC, _LABELS_MAGIC = 0x803, 0x801
_USERS_AT_ONCE = 128

Pixels = npt.NDArray[np.uint8]


class FashionMnistImporter(Importer):
    """Reads the photos and simulates users."""

    summary: ClassVar[str] = (
        "Fashion-MNIST's four IDX files; without SOURCE, Debian's or what Keras downloads. Users are simulated."
    )
    needs_source: ClassVar[Literal["yes", "optional", "no"]] = "optional"

    num_items: int = Field(10_000, ge=2, description="Photos, sampled from the 70,000; all where it is larger.")
    num_users: int = Field(5000, ge=1, description="Users to simulate.")
    actions_per_user: tuple[int, int] = Field((4, 19), description="Fewest and most actions of a user, log-uniform.")
    seed: int = Field(0, ge=0, description="Of the photos and of the users.")
    preference_stddev: float = Field(
        2.0, ge=0, allow_inf_nan=False, description="Of a user's preference for a class, in logits; 0 is pure chance."
    )

    _check_actions = field_validator("actions_per_user")(check_actions_per_user)

    def read(self, source: Path | None) -> Source:
        """Reads the photos and simulates users.

        Args:
            source: a folder with the four IDX files, gzipped or not, such as train-images-idx3-ubyte.gz; None for
                Debian's package dataset-fashion-mnist, or else what `keras.datasets` downloads.

        Raises:
            SourceError: if a file is missing or damaged, or Keras cannot download.
        """
        folder = DEBIAN_FOLDER if source is None else source
        pixels, labels = _from_keras() if source is None and not folder.is_dir() else _from_idx(folder)
        pixel_rng, preference_rng, action_rng = (np.random.default_rng([self.seed, part]) for part in range(3))
        chosen = np.sort(pixel_rng.permutation(len(pixels))[: self.num_items])
        if len(chosen) <= self.actions_per_user[1]:
            raise SourceError(f"{folder} must hold more photos than a user acts on. Received {len(chosen)}.")
        ids = pl.Series([f"fashion-mnist-{number:05d}" for number in chosen])
        items = pl.DataFrame(
            {
                "item_id": ids,
                "category": pl.Series([CLASSES[label] for label in labels[chosen]], dtype=pl.String),
                "image": pl.Series(chosen).cast(pl.String),
                ROW: pl.Series(chosen + 1, dtype=pl.Int64),
            }
        )

        def image_bytes(image: str) -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(pixels[int(image)]).convert("RGB").save(buffer, "PNG")
            return buffer.getvalue()

        return Source(
            "Fashion-MNIST with simulated users",
            items,
            self._simulated(ids, labels[chosen], preference_rng, action_rng),
            image_bytes,
            Quarantine(),
            "images-idx3-ubyte",
            "simulated users",
        )

    def _simulated(
        self, ids: pl.Series, labels: Pixels, preference_rng: np.random.Generator, action_rng: np.random.Generator
    ) -> pl.DataFrame:
        preferences = preference_rng.normal(0, self.preference_stddev, (self.num_users, len(CLASSES)))
        counts = log_uniform_counts(action_rng, self.num_users, *self.actions_per_user)
        users, items = [], []
        for start in range(0, self.num_users, _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            sampled_users, sampled_items = gumbel_top_k(action_rng, preferences[rows][:, labels], counts[rows])
            users.append(sampled_users + start)
            items.append(sampled_items)
        user_ids = pl.Series([f"simulated-{number:05d}" for number in range(self.num_users)])
        table = pl.DataFrame(
            {"user_id": user_ids.gather(np.concatenate(users)), "item_id": ids.gather(np.concatenate(items))}
        )
        return table.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


def _from_idx(folder: Path) -> tuple[Pixels, Pixels]:
    """uint8 [N, 28, 28] and [N] of the training and then the test files."""
    pixels, labels = [], []
    for part in ("train", "t10k"):
        pixels.append(_idx(_file(folder, f"{part}-images-idx3-ubyte"), _IMAGES_MAGIC, (_SIDE, _SIDE)))
        labels.append(_idx(_file(folder, f"{part}-labels-idx1-ubyte"), _LABELS_MAGIC, ()))
        if len(pixels[-1]) != len(labels[-1]) or labels[-1].max(initial=0) >= len(CLASSES):
            raise SourceError(
                f"The {part} files in {folder} must hold a label from 0 to 9 for each photo. Received "
                f"{len(pixels[-1])} photos and {len(labels[-1])} labels up to {labels[-1].max(initial=0)}. "
                "Fetch them again."
            )
    return np.concatenate(pixels), np.concatenate(labels)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise SourceError(
        f"SOURCE must be a folder with Fashion-MNIST's four files. {folder} has no {name}[.gz]. Install the package "
        "dataset-fashion-mnist (Debian), or leave SOURCE out to let Keras fetch them."
    )


def _idx(path: Path, magic: int, sides: tuple[int, ...]) -> Pixels:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path.name} must be whole. It cannot be read: {error}. Fetch it again.") from None
    header = 4 * (2 + len(sides))
    header_numbers = tuple(np.frombuffer(data[:header], ">u4").tolist()) if len(data) >= header else ()
    count = header_numbers[1] if len(header_numbers) > 1 else 0
    if header_numbers != (magic, count, *sides) or len(data) != header + count * int(np.prod(sides, dtype=np.int64)):
        raise SourceError(
            f"{path.name} must be an IDX file of {'x'.join(map(str, sides)) or 'one'} bytes an entry. "
            f"Received {len(data)} bytes with the header {header_numbers}. Fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, *sides)


def _from_keras() -> tuple[Pixels, Pixels]:
    import keras

    try:
        (train, train_labels), (test, test_labels) = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # no network, a proxy's page, a full disk: Keras wraps them all alike
        raise SourceError(
            f"Fashion-MNIST must be on this machine or within Keras's reach. It cannot be fetched: {error}. "
            "Install the package dataset-fashion-mnist (Debian), or give a folder with its four files as SOURCE."
        ) from None
    return np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
