"""What `--metrics` serves: counted from records, bounded, and taken by a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.packaging.checkout import ROOT
from tests.runs.build import write_run
from tests.telemetry.prometheus import promtool, scraping
from tests.waiting import wait_until
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import append_event, this_process
from triage_tui.runs.limits import BRIEF_LACKS
from triage_tui.runs.model import RuleHit, Statistics, Unavailable
from triage_tui.runs.verdict_model import VERDICT_FILE, Figures, Verdict
from triage_tui.runs.writer import encode_json
from triage_tui.telemetry.metrics.address import read_address
from triage_tui.telemetry.metrics.following import of_campaign, of_this_process
from triage_tui.telemetry.metrics.server import Metrics, serving

Samples = dict[str, float]
METRICS = ROOT / "docs" / "metrics"


def text_of(metrics: Metrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def samples(metrics: Metrics) -> Samples:
    lines = [line for line in text_of(metrics).splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def known(runs_dir: Path, cause: str, confidence: float = 0.9, **fields: Any) -> Path:
    """A run that was captured and diagnosed."""
    path = write_run(runs_dir, statistics=Statistics(freeze_ms=2.0), **fields)
    append_event(path, "captured", {"reason": "exit", "supervisor": this_process()})
    best = Hypothesis(cause=cause, proximate=cause, confidence=confidence, title="t")
    diagnosis = Diagnosis(run_id=path.name, scene="s", headline="h", hypotheses=[best])
    (path / "diagnosis.json").write_bytes(encode_json(diagnosis))
    append_event(path, "diagnosed", {"cause": cause})
    return path


def judge(path: Path, word: str) -> None:
    figures = Figures(run_id=path.name, reason="exit")
    verdict = Verdict(word="progressed", rung="runs", reasons=["r"], before=figures, after=figures)
    text = encode_json(verdict).replace(b"progressed", word.encode())
    (path / VERDICT_FILE).write_bytes(text)


def test_a_round_is_counted_once_with_all_that_it_came_to(tmp_path: Path) -> None:
    old = known(tmp_path, "missing_file")
    metrics = Metrics(tmp_path, limit_bytes=5)
    assert samples(metrics)['triage_tui_runs_total{trigger="exit",verdict="first"}'] == 0
    first = known(tmp_path, "missing_file")
    append_event(first, "proposed", {"proposals": []})
    append_event(first, "approved", {"policy": "line 3"}, "policy:auto")
    append_event(first, "approved", {}, "ann")
    append_event(first, "retry_started", this_process())
    hit = RuleHit(rule="r", hits=2, calls=3, errors=1, time_total_us=4000, syscall="openat", sha256="0" * 64)
    hit.layer, hit.state, hit.template = "target", "disabled", "provide_file"
    second = known(tmp_path, "unknown", 0.1, parent_run=first.name, rule_hits=[hit])
    found = samples(metrics)
    assert found['triage_tui_runs_total{trigger="exit",verdict="first"}'] == 1
    assert found['triage_tui_recorded_runs{state="retrying"}'] == 1
    # It is not counted before it is known how it is judged.
    assert sum(v for k, v in found.items() if k.startswith("triage_tui_runs_total")) == 1
    judge(second, "progressed")
    append_event(first, "retry_finished", {"verdict": "progressed", "run": second.name})
    append_event(old, "rejected", {"reason": "no"}, "ann")
    # A series begins at 0, or a first count would be no increase.
    of_rule = '{layer="target",syscall="openat",template="provide_file"}'
    assert samples(metrics)[f"triage_tui_rule_errors_total{of_rule}"] == 0
    for _ in range(2):
        found = samples(metrics)
        expected = {
            'triage_tui_runs_total{trigger="exit",verdict="first"}': 1,
            'triage_tui_runs_total{trigger="exit",verdict="progressed"}': 1,
            'triage_tui_diagnoses_total{cause="missing_file",source="knowledge_base"}': 1,
            'triage_tui_diagnoses_total{cause="unknown",source="heuristic"}': 1,
            'triage_tui_knowledge_base_lookups_total{result="hit"}': 1,
            'triage_tui_knowledge_base_lookups_total{result="miss"}': 1,
            "triage_tui_freeze_duration_seconds_sum": 0.004,
            "triage_tui_diagnosis_duration_seconds_count": 2,
            "triage_tui_retry_duration_seconds_count": 1,
            'triage_tui_retries_total{outcome="progressed"}': 1,
            'triage_tui_decisions_total{actor="policy",decision="approved"}': 1,
            'triage_tui_decisions_total{actor="person",decision="approved"}': 1,
            'triage_tui_decisions_total{actor="person",decision="rejected"}': 1,
            f"triage_tui_rule_calls_total{of_rule}": 3,
            f"triage_tui_rule_hits_total{of_rule}": 2,
            f"triage_tui_rule_errors_total{of_rule}": 1,
            f"triage_tui_rule_wait_seconds_total{of_rule}": 0.004,
            'triage_tui_decision_duration_seconds_count{actor="policy"}': 1,
            'triage_tui_decision_duration_seconds_count{actor="person"}': 0,
            "triage_tui_rules_disabled_total": 1,
            'triage_tui_recorded_runs{state="rejected"}': 1,
            'triage_tui_recorded_runs{state="progressed"}': 1,
            "triage_tui_recorded_runs_limit_bytes": 5,
        }
        assert {name: found.get(name) for name in expected} == expected
    assert promtool("check", "metrics", given=text_of(metrics)) == ""


def test_a_scraper_may_ask_for_some_of_the_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Metrics(tmp_path))
    some = generate_latest(registry.restricted_registry(["triage_tui_waiting_guests"])).decode()
    assert [line for line in some.splitlines() if line[0] != "#"] == ["triage_tui_waiting_guests 0.0"]


def test_a_damaged_run_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "20260131_020000_00000001").mkdir()
    old = tmp_path / "20260131_020000_00000001" / "events.jsonl"
    old.write_bytes(b"rubbish\n")
    os.utime(old, (1, 1))
    metrics = Metrics(tmp_path)
    for number in (2, 3):
        (tmp_path / f"20260131_020000_0000000{number}").mkdir()
    without_record = tmp_path / "20260131_020000_00000002"
    rubbish = tmp_path / "20260131_020000_00000003" / "events.jsonl"
    for number in range(3):
        append_event(without_record, "captured")
        append_event(without_record, "diagnosed", {"cause": "unknown"})
        rubbish.write_bytes(b"rubbish\n" * (number + 1))
        assert samples(metrics)["triage_tui_unreadable_records_total"] == 2


def test_what_comes_to_nothing_is_counted_as_that(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    first = known(tmp_path, "missing_file")
    append_event(first, "retry_started", this_process())
    append_event(first, "needs_person", {"why": "the retry came to nothing"})
    append_event(first, "needs_person", {"why": "once more"})
    append_event(first, "holder_lost")
    left = write_run(tmp_path, parent_run=first.name, unavailable=[Unavailable(what=BRIEF_LACKS, why="full")])
    append_event(left, "captured", {"reason": "exit", "supervisor": {"pid": 1, "start": 0}})
    tried = known(tmp_path, "missing_file", parent_run=first.name)
    append_event(first, "experiment_finished", {"run": tried.name})
    (tmp_path / "20260131_020000_00009999").mkdir()
    append_event(tmp_path / "20260131_020000_00009999", "captured")
    found = samples(metrics)
    expected = {
        'triage_tui_retries_total{outcome="failed"}': 1,
        "triage_tui_lost_guests_total": 1,
        "triage_tui_brief_captures_total": 1,
        'triage_tui_runs_total{trigger="exit",verdict="unjudged"}': 1,
        'triage_tui_runs_total{trigger="exit",verdict="experiment"}': 1,
        "triage_tui_unreadable_records_total": 1,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_runs_of_others_are_not_those_of_this_process_or_campaign(tmp_path: Path) -> None:
    own, campaign = (
        Metrics(tmp_path, of_this_process),
        Metrics(tmp_path, of_campaign("c1"), targets=lambda: {"lost": 2}, taken=lambda: [4.0]),
    )
    mine = known(tmp_path, "missing_file")
    append_event(mine, "campaign", {"campaign": "c1", "target": "t"})
    other = write_run(tmp_path)
    append_event(other, "captured", {"reason": "exit", "supervisor": {"pid": 1, "start": 0}})
    append_event(other, "campaign", {"campaign": "c2", "target": "t"})
    append_event(other, "diagnosed", {"cause": "missing_dir"})
    for metrics in (own, campaign):
        found = samples(metrics)
        assert found['triage_tui_runs_total{trigger="exit",verdict="first"}'] == 1
        assert found['triage_tui_diagnoses_total{cause="missing_dir",source="knowledge_base"}'] == 0
    assert found['triage_tui_campaign_targets{state="lost"}'] == 2
    assert found['triage_tui_campaign_targets{state="waiting"}'] == 0
    assert found["triage_tui_campaign_target_duration_seconds_sum"] == 4
    assert samples(campaign)["triage_tui_campaign_target_duration_seconds_count"] == 1


def test_the_model_is_counted_request_by_request(tmp_path: Path) -> None:
    path = known(tmp_path, "missing_file")
    steps = path / "analyst" / "001" / "steps.jsonl"
    steps.parent.mkdir(parents=True)
    step = {
        "step": 1,
        "kind": "request",
        "phase": "ask",
        "wall": "",
        "tokens_in": 7,
        "tokens_out": 2,
        "money": 0.5,
        "seconds": 2.5,
    }
    steps.write_text(json.dumps(step | {"outcome": "ok"}) + "\n")
    metrics = Metrics(tmp_path)
    assert samples(metrics)["triage_tui_model_cost_dollars_total"] == 0
    with steps.open("a") as log:
        log.write(json.dumps(step | {"step": 2, "outcome": "begun: what came of it is not on record"}) + "\n")
        log.write(json.dumps(step | {"step": 2, "outcome": "ok"}) + "\n")
        log.write(
            json.dumps(step | {"step": 3, "outcome": "no answer", "money": None, "tokens_in": 1e300}) + "\n"
        )
        log.write('{"step": 4, "kind"')
    append_event(path, "analyzed", {"causes": ["missing_dir"]})
    found = samples(metrics)
    assert found["triage_tui_model_cost_dollars_total"] == 0.5
    assert found['triage_tui_model_tokens_total{direction="input"}'] == 7
    assert found["triage_tui_model_request_duration_seconds_sum"] == 2.5
    assert found['triage_tui_model_requests_total{outcome="ok"}'] == 1
    assert found['triage_tui_diagnoses_total{cause="missing_dir",source="model"}'] == 1


def test_hostile_records_make_no_series(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    judged = known(tmp_path, "missing_file", rule_hits=[])
    before = set(samples(metrics))
    hostile = ['x"}\n# HELP evil', "\x1b]52;c;\x07", "\u202e", "a" * 5000]
    for number in range(40):
        word = f"{hostile[number % 4]}{number}"
        large = 10**400
        hit = RuleHit(rule=word, hits=-large, calls=large, syscall=word, sha256=word, layer=word)
        hit.time_total_us, hit.template = large, word
        path = known(tmp_path, word, float("1e300"), parent_run=word, rule_hits=[hit])
        judge(path, "resolved" if number % 2 else "")
        append_event(path, "retry_finished", {"verdict": word, "run": "../../etc"}, word)
        append_event(path, "analyzed", {"causes": [word]})
        append_event(path, "approved", {"policy": word}, word)
        append_event(path, "experiment_finished", {"run": [word]})
        append_event(path, "campaign", {"campaign": {word: word}})
        log = path / "events.jsonl"
        # Such moments fit no float.
        append_event(path, "retry_started")
        finished = b'{"event_id":99,"kind":"retry_finished","actor":"x","wall":"","ts_mono_ns":%d}\n' % large
        log.write_bytes(log.read_bytes() + finished + finished.replace(b"retry_finished", b"captured"))
    append_event(judged, "edited", {"file": word})
    (tmp_path / "20260131_020000_00009999").mkdir()
    (tmp_path / "20260131_020000_00009999" / "events.jsonl").mkdir()
    new = set(samples(metrics)) - before
    other = '{layer="other",syscall="other",template="other"}'
    assert f"triage_tui_rule_calls_total{other}" in new
    assert len(new) <= 8
    assert all(re.fullmatch(r'triage_tui_\w+(\{(\w+="[a-z_]+",?)+\})?', name) for name in new), new
    promtool("check", "metrics", given=text_of(metrics))


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("127.0.0.1:9464", "http://127.0.0.1:9464/metrics"),
        ("9464", "http://127.0.0.1:9464/metrics"),
        (":9464", "http://127.0.0.1:9464/metrics"),
        ("[::1]:9464", "http://[::1]:9464/metrics"),
    ],
)
def test_addresses_are_of_this_machine_unless_another_is_named(named: str, url: str) -> None:
    address = read_address(named)
    assert address.url() == url
    assert address.is_loopback


def test_all_interfaces_must_be_named() -> None:
    assert not read_address("0.0.0.0:9464").is_loopback


@pytest.mark.parametrize(
    "named",
    ["", "x", "127.0.0.1", "127.0.0.1:70000", "[::1", "a b:80", "http://a:1", "\x1b:1", "*:80", "a/b:80"],
)
def test_what_is_no_address_is_refused_in_one_sentence(named: str) -> None:
    with pytest.raises(TriageError, match="--metrics") as caught:
        read_address(named)
    assert str(caught.value).isprintable()


def test_a_port_in_use_is_told_before_anything_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (["watch"], ["run", "--ui", "/bin/true"]):
            name, *rest = command
            assert main([name, "-C", str(tmp_path), "--metrics", f"127.0.0.1:{port}", *rest]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"cannot be served at 127.0.0.1:{port} (address already in use)" in line
    assert not (tmp_path / "ai_runs").exists()


def test_nothing_of_it_is_imported_without_the_option() -> None:
    modules = "triage_tui.cli.run, triage_tui.cli.watch"
    script = f"import sys, {modules}; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_the_alert_rules_are_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(METRICS / "alerts.yaml"))


_LOOKUPS = "triage_tui_knowledge_base_lookups_total"
ALERT_TESTS = f"""
rule_files: [{METRICS}/alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'triage_tui_recorded_runs_size_bytes{{instance="a"}}', values: '95+0x200'}}
      - {{series: 'triage_tui_recorded_runs_limit_bytes{{instance="a"}}', values: '100+0x200'}}
      - {{series: 'triage_tui_recorded_runs_size_bytes{{instance="unlimited"}}', values: '95+0x200'}}
      - {{series: 'triage_tui_recorded_runs_limit_bytes{{instance="unlimited"}}', values: '0+0x200'}}
      - {{series: '{_LOOKUPS}{{result="hit"}}', values: '0+1x200'}}
      - {{series: '{_LOOKUPS}{{result="miss"}}', values: '0+3x200'}}
    alert_rule_test:
      - eval_time: 30m
        alertname: TriageTuiRunsNearLimit
        exp_alerts:
          - exp_labels: {{severity: warning, instance: a}}
            exp_annotations:
              summary: the runs on a take 95B, nearly all they may
      - eval_time: 150m
        alertname: TriageTuiKnowledgeBaseMisses
        exp_alerts:
          - exp_labels: {{severity: info}}
            exp_annotations:
              summary: the knowledge base knew only 25% of a day's failures
"""


def test_alerts_fire_where_they_should(tmp_path: Path) -> None:
    (tmp_path / "tests.yaml").write_text(ALERT_TESTS)
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yaml"))


def test_the_panels_of_the_dashboard_stand_beside_each_other() -> None:
    panels = json.loads((METRICS / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        taken = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= taken


def expressions() -> list[str]:
    """The questions of the dashboard, as Grafana would send them."""
    dashboard = json.loads((METRICS / "dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    for variable, value in (
        ("$__rate_interval", "5m"),
        ("$__range", "1h"),
        ("$job", ".*"),
        ("$instance", ".*"),
    ):
        found = [text.replace(variable, value) for text in found]
    assert not [text for text in found if "$" in text]
    return found


def came(runs_dir: Path) -> None:
    """Record what a laboratory sees on a bad day, so that no panel is empty."""
    first = known(runs_dir, "missing_file", moment=time.monotonic_ns() - 10**9)
    append_event(first, "proposed", {"proposals": []})
    append_event(first, "approved", {"policy": "line 3"}, "policy:auto")
    append_event(first, "retry_started", this_process())
    hit = RuleHit(rule="r", hits=2, calls=3, errors=1, time_total_us=4000, syscall="openat", sha256="0" * 64)
    hit.layer, hit.state, hit.template = "target", "disabled", "provide_file"
    for _ in range(2):
        judge(known(runs_dir, "missing_dir", parent_run=first.name, rule_hits=[hit]), "regressed")
    append_event(first, "retry_finished", {"verdict": "regressed", "run": "r"})
    steps = first / "analyst" / "001" / "steps.jsonl"
    steps.parent.mkdir(parents=True)
    step = {"step": 1, "kind": "request", "phase": "ask", "wall": "", "outcome": "ok", "seconds": 1.5}
    steps.write_text(json.dumps(step | {"tokens_in": 7, "tokens_out": 2, "money": 0.5}) + "\n")


def test_a_real_prometheus_scrapes_a_run_that_waits(tmp_path: Path, rootfs: Callable[[str], Path]) -> None:
    root = str(rootfs("busybox-armel"))
    command = [sys.executable, "-m", "triage_tui", "run", "-C", str(tmp_path), "--metrics", "127.0.0.1:0"]
    command += ["--rootfs", root, "/bin/busybox", "cat", "/etc/absent.conf"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = tmp_path / "said"
    lab = tmp_path / "lab"
    lab.mkdir()
    taken: list[float] = []
    other = Metrics(lab, targets=lambda: {"waiting": 1, "finished": len(taken)}, taken=lambda: taken)
    with (
        serving(read_address("127.0.0.1:0"), other) as beside,
        said.open("wb") as log,
        subprocess.Popen(command, stderr=log, stdout=log, env=environment) as process,
    ):
        try:
            wait_until(
                lambda: "metrics: http" in said.read_text() or process.poll() is not None, said.read_text
            )
            (url,) = re.findall(r"metrics: (http\S+)", said.read_text())
            targets = [one.removeprefix("http://").removesuffix("/metrics") for one in (url, beside)]
            with scraping(tmp_path / "prometheus", targets, METRICS / "alerts.yaml") as prometheus:
                prometheus.becomes("sum(up)", 2)
                came(lab)
                taken.append(12.5)
                here = f'instance="{targets[0]}"'
                for expected in (
                    "waiting_guests{%s}",
                    'runs_total{%s,trigger="exit",verdict="first"}',
                    'diagnoses_total{%s,cause="missing_file",source="knowledge_base"}',
                    "freeze_duration_seconds_count{%s}",
                    "recorded_runs_size_bytes{%s} > bool 1000",
                ):
                    prometheus.becomes(f"triage_tui_{expected % here}", 1)
                # Each panel shows something, and each rule finds what it asks of.
                recorded = re.findall(r"record: (\S+)", (METRICS / "alerts.yaml").read_text())
                for expression in [*expressions(), *recorded, "ALERTS{alertname='TriageTuiRulesFail'}"]:
                    prometheus.has(expression)
                told = {
                    name for name in prometheus.get("label/__name__/values") if name.startswith("triage_tui_")
                }
                rules = (METRICS / "alerts.yaml").read_text()
                # `promtool` finds no misspelt name.
                asked = set(re.findall(r"(?<![\w:])triage_tui_\w+", " ".join([*expressions(), rules])))
                assert asked <= told
            with urllib.request.urlopen(url) as answer:
                promtool("check", "metrics", given=answer.read().decode())
        finally:
            process.terminate()
