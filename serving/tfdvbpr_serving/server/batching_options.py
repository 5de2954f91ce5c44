"""How requests are joined into batches, in TensorFlow Serving's terms."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BatchingOptions:
    """The fields of TensorFlow Serving's `BatchingParameters` that the local server heeds.

    Attributes:
        max_batch_size: rows of a batch, and the most rows of one request.
        batch_timeout_micros: how long the first request of a batch waits for company, even when nothing else is being
            computed. 0, the local server's own default, joins only what came in while the batch before it ran.
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
