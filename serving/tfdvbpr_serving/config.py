"""The local server's options, and TensorFlow Serving's configuration files that it reads. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import BatchingParameters, ModelConfig, ModelServerConfig

BATCHING_FILE = "batching_params.pbtxt"

_Message = TypeVar("_Message", bound=Message)


@dataclass(frozen=True)
class ServerLimits:
    """Limits that keep one caller from taking the whole machine.

    Attributes:
        max_message_bytes: the largest request or response, and the largest tensor of a request once it is unpacked (a
            few bytes may stand for a tensor of any size that repeats one value).
        max_image_pixels: the largest image, by its header, before anything decodes it.
        max_request_pixels: the same for all images of a request together.
        max_waiting_designs: requests that may wait for a signature that is not batched; each takes seconds.
        max_concurrent_requests: requests in progress, waiting ones included; one thread each.
        rest_timeout_seconds: for a REST request, as TensorFlow Serving's --rest_api_timeout_in_ms.

    Raises:
        ValueError: if one is not above 0.
    """

    max_message_bytes: int = 64 * 2**20
    max_image_pixels: int = 50_000_000
    max_request_pixels: int = 200_000_000
    max_waiting_designs: int = 16
    max_concurrent_requests: int = 256
    rest_timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            if getattr(self, one.name) <= 0:
                raise ValueError(f"`{one.name}` must be > 0. Received {getattr(self, one.name)}.")


@dataclass(frozen=True)
class BatchingOptions:
    """The fields of TensorFlow Serving's `BatchingParameters` that the local server uses.

    Attributes:
        max_batch_size: rows of a batch, and the most rows of one request.
        batch_timeout_micros: how long the first request of a batch waits for others, even if the model is idle. 0
            joins only the requests that arrived while the batch before ran.
        num_batch_threads: batches of one signature computed at the same time.
        max_enqueued_batches: how many full batches may wait.

    Raises:
        ValueError: if a number is out of range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 0
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    max_enqueued_batches: int = 4

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            least = 0 if one.name == "batch_timeout_micros" else 1
            if getattr(self, one.name) < least:
                raise ValueError(f"`{one.name}` must be {least} or more. Received {getattr(self, one.name)}.")

    @property
    def max_waiting_rows(self) -> int:
        """Rows that may wait for one signature."""
        return self.max_enqueued_batches * self.max_batch_size


@dataclass(frozen=True)
class VersionPolicy:
    """A `model_version_policy`.

    Attributes:
        latest: how many of the newest versions; None for all of them.
        specific: only these versions, if any are named.
    """

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def wanted(self, found: Iterable[int]) -> list[int]:
        """The versions to serve of those on disk, smallest first."""
        versions = sorted(found)
        if self.specific:
            return [version for version in versions if version in self.specific]
        return versions if self.latest is None else versions[-self.latest :]


@dataclass(frozen=True)
class ModelSource:
    """A model to serve.

    Attributes:
        name: as requests name it.
        base_path: the folder of the numbered version folders.
        policy: which versions to serve.
        labels: versions by label, such as {"stable": 3, "canary": 4}.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def version_folders(base_path: Path) -> dict[int, Path]:
    """The version folders under a model's base path: whole numbers that hold a SavedModel, smallest first."""
    if not base_path.is_dir():
        return {}
    numbered = {int(p.name): p for p in base_path.iterdir() if p.name.isascii() and p.name.isdigit()}
    return {
        version: numbered[version] for version in sorted(numbered) if (numbered[version] / "saved_model.pb").is_file()
    }


def check_base_path(name: str, base_path: Path) -> None:
    """Raises `ModelLoadError` if a folder holds no version with a SavedModel in it."""
    if not version_folders(base_path):
        found = "none" if base_path.is_dir() else "no such folder"
        raise ModelLoadError(
            f"The model folder {base_path} of {name!r} must hold numbered versions, such as {base_path / '1'}, each "
            f"with a saved_model.pb. Received {found}. Run tfdvbpr-export first."
        )


def read_models_config(path: Path) -> list[ModelSource]:
    """The models of a `ModelServerConfig` in text form, as `tensorflow_model_server --model_config_file` reads it.

    Relative base paths count from the file's folder.

    Raises:
        ModelLoadError: if the file cannot be read or is not of that form.
    """
    return model_sources(_parsed(path, ModelServerConfig()), folder=path.resolve().parent)


def model_sources(config: ModelServerConfig, *, folder: Path | None = None) -> list[ModelSource]:
    """The models of a `ModelServerConfig`; relative base paths count from `folder`, or the working directory.

    Raises:
        ModelLoadError: if it lists no models, one without name or path, one twice, or another platform.
    """
    if config.WhichOneof("config") != "model_config_list" or not config.model_config_list.config:
        raise ModelLoadError("A models.config must have a `model_config_list` with a model in it. Received none.")
    sources = [_source(model, folder or Path()) for model in config.model_config_list.config]
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ModelLoadError(f"Models of a models.config must have different names. Received {names}. Rename one.")
    return sources


def _source(model: ModelConfig, folder: Path) -> ModelSource:
    if not model.name or not model.base_path:
        raise ModelLoadError(f"A model must have `name` and `base_path`. Received {model.name!r}, {model.base_path!r}.")
    if model.model_platform not in ("", "tensorflow"):
        raise ModelLoadError(
            f'The platform of {model.name!r} must be "tensorflow". Received {model.model_platform!r}. Correct it.'
        )
    policy, choice = model.model_version_policy, model.model_version_policy.WhichOneof("policy_choice")
    versions = {
        None: VersionPolicy(),
        "latest": VersionPolicy(latest=int(policy.latest.num_versions) or 1),
        "all": VersionPolicy(latest=None),
        "specific": VersionPolicy(latest=None, specific=tuple(int(v) for v in policy.specific.versions)),
    }[choice]
    return ModelSource(model.name, folder / model.base_path, versions, dict(model.version_labels))


def read_batching_config(path: Path) -> BatchingOptions:
    """The options of a `BatchingParameters` in text form; fields that it leaves out keep the local server's default.

    `allowed_batch_sizes` and `pad_variable_length_inputs` are accepted and have no effect: batches are not padded, and
    only requests of the same widths are joined.

    Raises:
        ModelLoadError: if the file cannot be read or a number is out of range.
    """
    message = _parsed(path, BatchingParameters())
    names = [one.name for one in dataclasses.fields(BatchingOptions)]
    try:
        return BatchingOptions(**{name: int(getattr(message, name).value) for name in names if message.HasField(name)})
    except ValueError as error:
        raise ModelLoadError(f"{path}: {error}") from error


def _parsed(path: Path, message: _Message) -> _Message:
    try:
        parsed: _Message = text_format.Parse(path.read_text(encoding="utf-8"), message)
        return parsed
    except OSError as error:
        raise ModelLoadError(
            f"{path} must be a readable file. Received: {error.strerror}. Correct the path."
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelLoadError(
            f"{path} must be a {message.DESCRIPTOR.name} in protobuf's text form. Received: {error}. Correct it."
        ) from error
