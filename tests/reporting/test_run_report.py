from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Command, RunOf

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import OutputExistsError
from tfdvbpr.evaluation.ranking import popularity_bar as bar_room
from tfdvbpr.evaluation.ranking.evaluate import compute_metrics
from tfdvbpr.reporting.facts import Facts, ModelFigures, collect
from tfdvbpr.reporting.html import render
from tfdvbpr.reporting.sections import REPORT_SECTIONS
from tfdvbpr.reporting.users import sampled_users
from tfdvbpr.reporting.verdict import RULES, verdict
from tfdvbpr.run import GanRun, Run

VOID = {"meta", "img", "br", "link"}


class _Page(HTMLParser):
    """Tags that are left open, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def facts(tiny_run: Run, checkerboard_dataset: PreparedDataset) -> Facts:
    return collect(tiny_run, checkerboard_dataset)


def test_the_page_stands_alone_and_has_every_section(
    tiny_run: Run,
    tiny_gan_run: GanRun,
    run_of: RunOf,
    tmp_path: Path,
    command: Command,
) -> None:
    output = tmp_path / "report"
    request = ("--gan", tiny_gan_run.path, "--compare", run_of("popularity").path, "--output", output)
    code, shown, complaint = command("report", tiny_run.path, *request)
    assert code == 0, complaint
    text = (output / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert all(address.startswith("data:") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    sections = re.findall(r'<section id="([\w-]+)">', text)
    assert sections == [name for name in REPORT_SECTIONS if name in sections]
    assert set(sections) >= {"bar", "users", "designs", "long-tail", "health", "learning", "settings"}
    found = json.loads((output / "report.json").read_text())
    assert found["verdict"] in shown
    names = [each["name"] for each in found["models"]]
    assert names[0] == "popularity"
    assert len(set(names)) == 3
    with pytest.raises(OutputExistsError):
        api.write_report(tiny_run, output)


def test_figures_are_those_of_evaluate(facts: Facts, tiny_run: Run, run_of: RunOf) -> None:
    for figures, run in ((facts.model, tiny_run), (facts.popularity, run_of("popularity"))):
        metrics = compute_metrics(run, ["auc", "recall@10", "coverage@10"]).metrics
        assert figures.values["auc"] == metrics["auc"]["all"]
        assert figures.values["recall@10"] == metrics["recall@10"]
        assert figures.values["coverage@10"] == metrics["coverage@10"]
    for name in ("auc", "recall@10"):
        gain = facts.gain(name)
        assert gain is not None
        assert gain.mean == pytest.approx((facts.model.values[name] or 0.0) - (facts.popularity.values[name] or 0.0))


def test_a_large_catalogue_is_sampled_and_the_page_says_so(
    tiny_run: Run, checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_room, "_MIN_USERS", 3)
    monkeypatch.setattr(bar_room, "_MAX_SCORES", 16)
    sampled = collect(tiny_run, checkerboard_dataset)
    assert (sampled.num_tested, sampled.num_testable) == (3, 8)
    assert len(np.unique(sampled.ranks.user_ids)) == 3
    blocks = REPORT_SECTIONS["bar"][1](sampled)
    assert "3 users (a random sample of 8)" in blocks[0].text  # type: ignore[union-attr]


def _with(facts: Facts, *, ours: dict[str, float], bar: dict[str, float], num_users: int = 400) -> Facts:
    """Facts with other figures; each user has the mean."""

    def figures(name: str, values: dict[str, float]) -> ModelFigures:
        whole = {"auc": 0.8, "auc_cold": 0.7, "recall@10": 0.1, "coverage@10": 0.5, **values}
        return ModelFigures(name, dict(whole), {metric: np.full(num_users, value) for metric, value in whole.items()})

    return replace(facts, model=figures("ours", ours), popularity=figures("popularity", bar), num_testable=num_users)


def test_the_verdict_names_what_forbids_to_ship(facts: Facts) -> None:
    worse = verdict(_with(facts, ours={"recall@10": 0.02}, bar={"recall@10": 0.05, "auc": 0.7, "auc_cold": 0.4}))
    assert (worse.level, worse.headline) == ("stop", "Do not ship")
    assert worse.reasons[0].text.startswith("it is worse than popularity at recall@10: 0.020, popularity 0.050")
    assert any("--model ease" in step for step in worse.next_steps)
    better = verdict(_with(facts, ours={}, bar={"recall@10": 0.05, "auc": 0.7, "auc_cold": 0.4}))
    assert better.level in ("good", "caution")
    assert "it is better than popularity at recall@10" in " ".join(reason.text for reason in better.reasons)


@pytest.mark.parametrize("mean", [-0.01, 0.01])
@pytest.mark.parametrize(("rule", "metric"), [("recall", "recall@10"), ("auc", "auc")])
def test_a_difference_that_may_be_chance_forbids_nothing(facts: Facts, rule: str, metric: str, mean: float) -> None:
    """400 users whose differences have a standard deviation of 0.5: the standard error is 0.025."""
    made = _with(facts, ours={metric: 0.5 + mean}, bar={metric: 0.5})
    noise = np.tile([-0.5, 0.5], 200)
    values = made.model.per_user[metric]
    made = replace(made, model=replace(made.model, per_user={**made.model.per_user, metric: values + noise}))
    reason = RULES[rule](made)
    assert reason is not None
    assert reason.level == "caution"
    assert "it is not shown to be better than popularity" in reason.text
    assert f"difference {mean:+.3f}" in reason.text
    assert reason.advice


def test_users_with_one_action_forbid_to_ship(facts: Facts) -> None:
    counts = np.array([1, 1, 1, 5])
    lone = _with(facts, ours={}, bar={"recall@10": 0.05, "auc": 0.7})
    lone.__dict__["actions_per_user"] = counts
    found = verdict(lone)
    assert found.level == "stop"
    assert "more than half of the users have one action (75%)" in found.reasons[0].text


@pytest.mark.parametrize(
    ("rule", "ours", "bar", "words"),
    [
        ("auc", {"auc": 0.6}, {"auc": 0.7}, "worse than popularity at ordering the catalogue"),
        ("cold items", {"auc_cold": 0.5}, {"auc_cold": 0.3}, "hardly better than chance"),
        ("coverage", {"coverage@10": 0.001}, {}, "0.1% of the catalogue"),
        ("tested users", {}, {}, "only 8 users could be tested"),
    ],
)
def test_each_rule_speaks_where_it_should(
    facts: Facts, rule: str, ours: dict[str, float], bar: dict[str, float], words: str
) -> None:
    made = _with(facts, ours=ours, bar=bar)
    reason = RULES[rule](replace(made, num_testable=8) if rule == "tested users" else made)
    assert reason is not None
    assert words in reason.text
    assert reason.advice
    if ours:
        assert (RULES[rule](_with(facts, ours={}, bar={})) or reason).level != "stop"


def test_health_is_shown_where_there_is_a_report(facts: Facts, tmp_path: Path) -> None:
    findings = [{"severity": "warning", "title": "<b>12 photos</b> are white", "advice": "Take new ones.", "more": 1}]
    (tmp_path / "health.json").write_text(json.dumps({"findings": findings}))
    moved = replace(facts, dataset=PreparedDataset(tmp_path, facts.dataset.manifest))
    assert [each["title"] for each in moved.health] == ["<b>12 photos</b> are white"]
    (tmp_path / "health.json").write_text("{")
    assert replace(moved).health == facts.health == []


def test_text_of_the_catalogue_is_escaped(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\x1b[2J\u202e"
    shown = render(
        "tfdvbpr.reporting",
        "page.html.jinja",
        run=name,
        model="dvbpr",
        dataset=name,
        today="",
        version="1",
        verdict={"level": "good", "headline": name, "reasons": [], "next_steps": []},
        sections=[],
    )
    assert "<script>" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_users_are_shown_from_few_actions_to_many(facts: Facts) -> None:
    rows = sampled_users(facts)
    assert len(rows) == 4
    assert set(rows) <= set(facts.run.interactions.of(Split.TEST)[0].tolist())
