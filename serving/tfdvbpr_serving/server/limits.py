"""What the local server takes in at most."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """Bounds that keep one caller from taking the whole machine.

    Attributes:
        max_message_bytes: the largest request or answer, and the largest tensor of a request once it is unpacked (a few
            bytes may stand for a tensor of any size that repeats one value).
        max_image_pixels: the largest picture, by its header, before anything decodes it.
        max_request_pixels: the same for all pictures of a request together.
        max_waiting_designs: requests that may wait for a signature that is not batched; each takes seconds.
        max_concurrent_requests: requests under way, waiting ones included; one thread each.
        rest_timeout_seconds: how long a REST request may take, as TensorFlow Serving's --rest_api_timeout_in_ms.

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
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"`{field.name}` must be > 0. Received {getattr(self, field.name)}.")
