"""Fashion-MNIST (Xiao et al. 2017): 70,000 grey 28x28 photos in ten classes, with *simulated* shoppers.

The data know no shoppers. Each simulated one has a liking for each of the ten classes and acts on single items by it
and by chance, so that a recommender can learn a shopper's classes and nothing finer. The source's name says so.
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from tfdvbpr.data.preparation.source import Quarantine, Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.data.synthetic.source import gumbel_top_k, log_uniform_counts
from tfdvbpr.errors import ConfigError, SourceError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "t-shirt-top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
_SIDE = 28
_IMAGES_MAGIC, _LABELS_MAGIC = 0x803, 0x801
_USERS_AT_ONCE = 128

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FashionMnistOptions:
    """How many of the photos, and which simulated shoppers.

    Attributes:
        num_items: photos, drawn from the 70,000; all where it is larger.
        num_users: shoppers to simulate.
        actions_per_user: fewest and most actions of a shopper; few are more common than many (log-uniform).
        seed: of the photos drawn and of the shoppers.
        taste_spread: standard deviation of a shopper's liking for a class, in logits; 0 is pure chance.
    """

    num_items: int = 10_000
    num_users: int = 5000
    actions_per_user: tuple[int, int] = (4, 19)
    seed: int = 0
    taste_spread: float = 2.0

    def __post_init__(self) -> None:
        fewest, most = self.actions_per_user
        if not 1 <= fewest <= most < self.num_items:
            raise ConfigError(
                f"`actions_per_user` must be (fewest, most) with 1 <= fewest <= most < num_items={self.num_items}. "
                f"Received {self.actions_per_user}."
            )
        for name, smallest in (("num_users", 1), ("seed", 0), ("taste_spread", 0.0)):
            if not smallest <= getattr(self, name) < np.inf:
                raise ConfigError(f"`{name}` must be at least {smallest}. Received {getattr(self, name)}.")


def read_fashion_mnist(
    folder: Path = DEBIAN_FOLDER,
    options: FashionMnistOptions = FashionMnistOptions(),
) -> Source:
    """Reads the photos and simulates shoppers.

    Args:
        folder: holds the four IDX files, gzipped or not, such as train-images-idx3-ubyte.gz. Where Debian's package
            dataset-fashion-mnist is not installed, its folder stands for `keras.datasets`, which may download.
        options: how many photos and shoppers.

    Raises:
        SourceError: if a file is missing or damaged, or Keras cannot download.
    """
    folder = Path(folder)
    if folder == DEBIAN_FOLDER and not folder.is_dir():
        pixels, labels = _from_keras()
    else:
        pixels, labels = _from_idx(folder)
    pixel_rng, taste_rng, action_rng = (np.random.default_rng([options.seed, part]) for part in range(3))
    chosen = np.sort(pixel_rng.permutation(len(pixels))[: options.num_items])
    if len(chosen) <= options.actions_per_user[1]:
        raise SourceError(f"{folder} must hold more photos than a shopper acts on. Received {len(chosen)}.")
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
        "Fashion-MNIST with simulated shoppers",
        items,
        _simulated(ids, labels[chosen], options, taste_rng, action_rng),
        image_bytes,
        Quarantine(),
        "images-idx3-ubyte",
        "simulated shoppers",
    )


def _simulated(
    ids: pl.Series,
    labels: Pixels,
    options: FashionMnistOptions,
    taste_rng: np.random.Generator,
    action_rng: np.random.Generator,
) -> pl.DataFrame:
    tastes = taste_rng.normal(0, options.taste_spread, (options.num_users, len(CLASSES)))
    counts = log_uniform_counts(action_rng, options.num_users, *options.actions_per_user)
    users, items = [], []
    for start in range(0, options.num_users, _USERS_AT_ONCE):
        some = slice(start, start + _USERS_AT_ONCE)
        drawn_users, drawn_items = gumbel_top_k(action_rng, tastes[some][:, labels], counts[some])
        users.append(drawn_users + start)
        items.append(drawn_items)
    user_ids = pl.Series([f"simulated-{number:05d}" for number in range(options.num_users)])
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
    told = tuple(np.frombuffer(data[:header], ">u4").tolist()) if len(data) >= header else ()
    count = told[1] if len(told) > 1 else 0
    if told != (magic, count, *sides) or len(data) != header + count * int(np.prod(sides, dtype=np.int64)):
        raise SourceError(
            f"{path.name} must be an IDX file of {'x'.join(map(str, sides)) or 'one'} bytes an entry. "
            f"Received {len(data)} bytes with the header {told}. Fetch it again."
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
