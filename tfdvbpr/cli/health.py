"""The data health table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tfdvbpr.cli.options import out
from tfdvbpr.text import printable

if TYPE_CHECKING:
    from tfdvbpr.data.preparation.health import HealthReport

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def print_health(report: HealthReport) -> None:
    """Prints how the tables were read, what the checks found, and what was left out, by reason."""
    for table in report.tables:
        forms = [table.encoding, _DELIMITERS.get(table.delimiter or "", table.delimiter), table.compression]
        renamed = [f"{ours} is {theirs!r}" for ours, theirs in table.renamed.items()]
        dates = [f"dates: {table.dates}"] if table.dates else []
        out.print(f"{table.name}: {', '.join([f'{table.num_rows:,} rows', *filter(None, forms), *renamed, *dates])}")
    if not report.findings:
        out.print("Data health: nothing to report.")
    else:
        out.print(_findings(report))
    for group in report.quarantine:
        hint = f" {group.hint}" if group.hint else ""
        out.print(f"Left out: {group.count:,} {group.kind}, such as {group.examples[0]}.{hint}", soft_wrap=True)


_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def _findings(report: HealthReport) -> Table:
    table = Table(title="Data health", show_lines=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("what", ratio=3, overflow="fold")
    table.add_column("examples", ratio=2, overflow="fold")
    table.add_column("what to do", ratio=3, overflow="fold")
    for each in report.findings:
        severity = Text(each.severity, style=_STYLES[each.severity])
        table.add_row(
            severity, printable(each.title), "\n".join(map(printable, each.examples[:3])), printable(each.advice)
        )
    return table
