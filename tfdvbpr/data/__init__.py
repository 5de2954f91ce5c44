"""From sources to batches: importers read, preparation writes a prepared dataset, batches read it.

The choices that the command line offers are defined here, where nothing heavy is imported.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

ImageFit = Literal["pad", "crop", "squash"]
SplitKind = Literal["leave-one-out", "leave-last-out", "time", "source"]
DuplicateHandling = Literal["keep", "merge"]
DateOrder = Literal["mdy", "dmy"]
ImageSide = Annotated[int, Field(ge=1, le=1 << 14)]
