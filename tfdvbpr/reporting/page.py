"""Writes a report: the verdict, then every section, in one HTML file that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.reporting.facts import Facts, collect
from tfdvbpr.reporting.html import render
from tfdvbpr.reporting.sections import REPORT_SECTIONS
from tfdvbpr.reporting.verdict import Verdict, verdict
from tfdvbpr.run import GanRun, Run

PAGE_NAME, FIGURES_NAME = "report.html", "report.json"

Progress = Callable[[int, int], None]


def write_report(
    run: Run,
    output: Path,
    *,
    dataset: PreparedDataset,
    gan: GanRun | None = None,
    others: Sequence[Run] = (),
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> Verdict:
    """Writes report.html and report.json into a folder; arguments and errors are those of `tfdvbpr.write_report`."""
    check_output(output, if_exists=if_exists)
    show = progress or (lambda done, total: None)
    total = len(REPORT_SECTIONS) + 1
    show(0, total)
    facts = collect(run, dataset, gan=gan, others=others)
    sections = []
    for number, (name, (title, make)) in enumerate(REPORT_SECTIONS.items(), start=1):
        show(number, total)
        if blocks := list(make(facts)):
            sections.append({"name": name, "title": title, "blocks": blocks})
    found = verdict(facts)
    page = render(
        "tfdvbpr.reporting",
        "page.html.jinja",
        run=run.path.resolve().name,
        model=run.manifest.model,
        dataset=dataset.manifest.name,
        today=date.today().isoformat(),
        version=__version__,
        verdict=found,
        sections=sections,
    )
    with whole_directory(output, if_exists=if_exists) as folder:
        (folder / PAGE_NAME).write_text(page, encoding="utf-8")
        (folder / FIGURES_NAME).write_text(json.dumps(figures(facts, found), indent=2) + "\n", encoding="utf-8")
    show(total, total)
    return found


def figures(facts: Facts, found: Verdict) -> dict[str, Any]:
    """The verdict and the models' figures, for JSON."""
    return {
        "run": facts.run.path.resolve().name,
        "model": facts.run.manifest.model,
        "dataset": facts.dataset.manifest.name,
        "verdict": found.headline,
        "reasons": [asdict(reason) for reason in found.reasons],
        "num_users_tested": facts.num_tested,
        "num_users_with_a_test_action": facts.num_testable,
        "models": [{"name": each.name, **each.values} for each in facts.models],
    }
