"""The health report of a source: `health.json` in a prepared dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import DatasetError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MAX_EXAMPLES = 5


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Model):
    """What one check found.

    Attributes:
        check: its name in HEALTH_CHECKS.
        severity: "error" ends the preparation unless it is allowed, "warning" makes results worse, "note" informs.
        title: what was found, one sentence with its figures.
        count: how many rows, items, users or images it is about.
        examples: at most five.
        advice: what to do, a sentence.
    """

    check: str
    severity: Severity
    title: str
    count: int
    examples: tuple[str, ...] = ()
    advice: str = ""


class QuarantineGroup(_Model):
    """What was left out for one reason, with one hint.

    Attributes:
        kind: the class of the reason.
        hint: what to do, "" where nothing more can be said.
        count: entries of the quarantine.
        examples: at most five: file, row and value.
    """

    kind: str
    hint: str
    count: int
    examples: tuple[str, ...]


class RowsLost(_Model):
    """How many rows of a table are lost for reasons other than the user's filters and repetitions.

    Attributes:
        name: of the table.
        num_rows: rows in the source, malformed ones too.
        num_lost: of them, those that cannot be used.
    """

    name: str
    num_rows: int
    num_lost: int

    @property
    def share(self) -> float:
        """Of the rows, in [0, 1]."""
        return self.num_lost / max(self.num_rows, 1)


class HealthReport(_Model):
    """What the checks found in a source, and how its tables were read.

    Attributes:
        format_version: of this report.
        source: the source's name.
        tables: how each table was read.
        items: rows of the items that are lost.
        interactions: rows of the interactions that are lost.
        findings: errors first, then warnings, then notes.
        quarantine: what was left out, most frequent first.
    """

    format_version: Literal[1] = 1
    source: str
    tables: tuple[TableFacts, ...] = ()
    items: RowsLost
    interactions: RowsLost
    findings: tuple[Finding, ...] = ()
    quarantine: tuple[QuarantineGroup, ...] = ()

    def errors_left(self, allowed: Sequence[str] = ()) -> list[Finding]:
        """The errors whose check is not allowed."""
        return [each for each in self.findings if each.severity == "error" and each.check not in allowed]

    def write(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> HealthReport:
        """Reads what `write` wrote.

        Raises:
            DatasetError: if it is missing or damaged. Datasets of earlier versions have none.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DatasetError(
                f"{path} must be a health report. It cannot be read ({str(error).splitlines()[0]}). "
                "Prepare the dataset again."
            ) from None
