"""The local server's options, and TensorFlow Serving's configuration files that it reads. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import sys
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
_LARGEST_VERSION = 2**63 - 1
_LEAST_CONNECTIONS, _OTHER_OPEN_FILES = 8, 128

_Message = TypeVar("_Message", bound=Message)


@dataclass(frozen=True)
class ServerLimits:
    """Limits that keep one caller from taking the whole machine.

    Attributes:
        max_message_bytes: the largest request or response.
        max_tensor_bytes: memory of all tensors of a request once they are unpacked, TensorFlow's copy included. A few
            bytes may stand for a tensor of any size that repeats one number.
        max_values: strings, listed numbers and JSON values of one request; each takes far more memory than bytes.
        max_rows: of a request for a signature that is not batched; a batched one has the batch size for a limit.
        max_design_rows: of a request for designs, each of which takes seconds.
        max_bytes_in_progress: memory of all requests that are read, wait or run, as counted in `server.cost`.
        max_image_pixels: the largest image, by its header, before anything decodes it.
        max_request_pixels: the same for all images of a request together; every ten scans of a JPEG count as its pixels
            once more.
        max_pixels_in_progress: the same for all images of all requests that wait to be decoded or are.
        max_waiting_designs: requests for designs that may wait, of all models together.
        max_concurrent_requests: requests in progress, waiting ones included; one thread each. As many again may still
            be sending.
        max_connections: of gRPC and, as many again, of REST.
        read_seconds: for a caller to send a request, headers and body, once it has connected or called.
        idle_seconds: before a connection without a request is closed; clients connect again by themselves.
        rest_timeout_seconds: for a REST request, as TensorFlow Serving's --rest_api_timeout_in_ms.
        max_request_seconds: for a gRPC request, whatever deadline its client sets.

    Raises:
        ValueError: if one is not above 0.
    """

    max_message_bytes: int = 64 * 2**20
    max_tensor_bytes: int = 256 * 2**20
    max_values: int = 200_000
    max_rows: int = 1024
    max_design_rows: int = 16
    max_bytes_in_progress: int = 5 * 2**28
    max_image_pixels: int = 50_000_000
    max_request_pixels: int = 200_000_000
    max_pixels_in_progress: int = 400_000_000
    max_waiting_designs: int = 16
    max_concurrent_requests: int = 256
    max_connections: int = 512
    read_seconds: float = 20.0
    idle_seconds: float = 60.0
    rest_timeout_seconds: float = 30.0
    max_request_seconds: float = 300.0

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            if getattr(self, one.name) <= 0:
                raise ValueError(f"`{one.name}` must be > 0. Received {getattr(self, one.name)}.")

    def fitting_open_files(self) -> ServerLimits:
        """The same with fewer connections if this process may not open as many files: each is one, of two ports."""
        if sys.platform == "win32":
            return self
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        fitting = max(_LEAST_CONNECTIONS, (most - _OTHER_OPEN_FILES) // 2)
        return dataclasses.replace(self, max_connections=min(self.max_connections, fitting))


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
    """The version folders under a model's base path: numbers that hold a SavedModel, smallest first.

    The protocol carries versions as int64, so that larger numbers are no versions.
    """
    if not base_path.is_dir():
        return {}
    numbered = {int(p.name): p for p in base_path.iterdir() if p.name.isascii() and p.name.isdigit()}
    return {
        version: numbered[version]
        for version in sorted(numbered)
        if version <= _LARGEST_VERSION and (numbered[version] / "saved_model.pb").is_file()
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
