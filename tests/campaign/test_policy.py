"""A campaign approves what the written policy of its workspace allows, on whatever machine it plays."""

import threading
from pathlib import Path

import pytest

from tests.campaign.build import FakeCluster, carried, target
from triage_tui.campaign import playing
from triage_tui.campaign.beginning import begin, go_on
from triage_tui.campaign.model import Options
from triage_tui.campaign.order import Answer, Order
from triage_tui.campaign.place import prepare
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.rounds.course import Terms
from triage_tui.retry.rounds.written_policy import POLICY_FILE, WrittenPolicy, shipped_policy
from triage_tui.retry.workspace import Workspace

STRICT = "schema: 1\nauto: []\nnever:\n  - risks: [low, medium]\n"


def played_under(order: Order, place: Path, monkeypatch: pytest.MonkeyPatch) -> WrittenPolicy | None:
    """Have an order played, up to the moment when the guest would be run."""
    found: list[WrittenPolicy | None] = []

    def carry_out(terms: Terms, *_: object) -> None:
        found.append(terms.written)
        raise TriageError("no guest in this test")

    monkeypatch.setattr(playing, "carry_out", carry_out)
    prepare(place, order)
    playing.play(place, threading.Event())
    return found[0] if found else None


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_policy_of_the_beginning_holds_for_each_target(
    tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "rulebook" / POLICY_FILE
    own.parent.mkdir()
    own.write_text(STRICT)
    options = Options(policy_file=str(own))
    directory = begin(Workspace(tmp_path), [target(1)], options, [])
    own.write_text("schema: 1\nauto: [{risks: [low, medium]}]\n")
    cluster = FakeCluster(
        lambda order: Answer(target=order.target.target, kind="refused", error="no"),
        {"tcp://a": 1} if elsewhere else 1,
    )
    carried(directory, cluster)
    (order,) = cluster.orders
    assert order.given == ({"policy": STRICT.encode()} if elsewhere else {})
    written = played_under(order, tmp_path / "place", monkeypatch)
    assert written is not None
    assert written.auto == ()
    assert len(written.never) == 1
    assert go_on(directory, Options(policy_file=str(own))) == "the written policy of its beginning"
    own.write_text(STRICT)
    assert go_on(directory, Options(policy_file=str(own))) == ""


def test_without_one_the_shipped_policy_holds_whatever_the_machine_of_a_worker_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / POLICY_FILE).write_text(STRICT)
    monkeypatch.setattr("triage_tui.retry.rounds.written_policy.config_dir", lambda: config)
    written = played_under(
        Order(campaign="c", target=target(1), options=Options()), tmp_path / "place", monkeypatch
    )
    assert written is not None
    assert written.path == shipped_policy()
    manual = Order(campaign="c", target=target(1), options=Options(policy="manual"))
    assert played_under(manual, tmp_path / "other", monkeypatch) is None


def test_a_policy_that_cannot_be_used_is_one_sentence_before_anything_is_looked_at(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rulebook").mkdir()
    (tmp_path / "rulebook" / POLICY_FILE).write_text("schema: 2\n")
    assert main(["campaign", "-C", str(tmp_path), "no such file"]) == 2
    assert "the policy cannot be used" in capfd.readouterr().err
    assert main(["campaign", "-C", str(tmp_path), "x", "--policy", "manual", "--policy-file", "y"]) == 2
    assert "a policy file is for --policy assist or auto" in capfd.readouterr().err
