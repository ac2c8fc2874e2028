"""The report on a campaign: Markdown, HTML and JSON, from the records alone."""

from __future__ import annotations

import argparse
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import msgspec
import pytest

from tests.campaign.states import happened, need, on_disk, run_id, small, state_of, target
from triage_tui.campaign.document import make_document
from triage_tui.campaign.model import Outcome
from triage_tui.campaign.report import make_report, masked, redaction_of
from triage_tui.campaign.schema import schema
from triage_tui.cli import campaign_list, campaign_report, campaign_show
from triage_tui.errors import TriageError
from triage_tui.export.html import render_html
from triage_tui.export.markdown import render_markdown

HOSTILE = "\x1b]52;c;eA==\x07\u202e[@click=app.quit]<script>alert(1)</script>`](http://x)"
SECRET = "hunter2hunter2"


def command(module: object, workspace: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-C", dest="workspace", default=str(workspace))
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return int(module.run(parser.parse_args(words)))  # type: ignore[attr-defined]


def test_the_report_tells_what_came_of_it_and_what_to_do_next() -> None:
    state = small()
    text = render_markdown(make_document(make_report(state), redaction_of(state)))
    assert "10 targets: 2 well, 1 further, 1 stuck, 1 worse, 1 unknown" in text
    assert (
        "**1\\. NVRAM default `lan_ipaddr`: 2 targets need it next; how many it would move is not known.**"
        in text
    )
    assert "- Targets: `a/httpd2`, `a/httpd3`." in text
    assert re.search(r"^stable +1 +1$", text, re.MULTILINE)
    assert re.search(r"^Provide /etc/a\.conf +provide file +2 +2 +0 +0$", text, re.MULTILINE)
    assert "- 4 of 10 targets have no outcome: nothing is known of whether they work." in text
    assert re.search(r"^b/httpd7 +refused ", text, re.MULTILINE)


def test_an_empty_campaign_and_one_without_trouble_say_so() -> None:
    for state, said in (
        (state_of([], {}), "0 targets: none"),
        (state_of([target(1)], {1: Outcome(word="healthy", rung="stable")}), "Every target was run, judged"),
    ):
        text = render_markdown(make_document(make_report(state), redaction_of(state)))
        assert said in text
        assert "Nothing is left to do: no target needs anything that is known." in text


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]


def hostile() -> object:
    one = target(1, name=HOSTILE, group=HOSTILE)
    one.argv = ["httpd", "--password", SECRET]
    outcome = Outcome(
        word=HOSTILE, runs=[run_id(1)], cause=HOSTILE, signature=HOSTILE, ended=HOSTILE,
        headline=f"httpd printed password={SECRET} {HOSTILE}",
        needs=[need(HOSTILE, HOSTILE, needs_input=HOSTILE, risk=HOSTILE)],
    )  # fmt: skip
    state = state_of([one, target(2)], {1: outcome, 2: happened(2, "refused", HOSTILE)})
    state.campaign.given = [HOSTILE]
    state.campaign.emulators = {HOSTILE: HOSTILE}
    return state


@pytest.mark.parametrize("keep", [False, True])
def test_hostile_names_stay_text_and_secrets_are_masked(keep: bool) -> None:
    state = hostile()
    redaction = redaction_of(state, off=keep)  # type: ignore[arg-type]
    report = make_report(state, small())  # type: ignore[arg-type]
    document = make_document(report, redaction)
    page, text = render_html(document), render_markdown(document)
    for one in (page, text):
        assert all(char.isprintable() or char == "\n" for char in one)
        assert (SECRET in one) is keep
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert all(link.startswith("#") for link in tags.links)
    assert {link[1:] for link in tags.links} <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    raw = msgspec.json.encode(masked(report, redaction)).decode()
    assert (SECRET in raw) is keep


def test_the_json_report_fits_its_schema() -> None:
    state = small()
    found = masked(make_report(state, small(id=run_id(2))), redaction_of(state))
    jsonschema.validate(found, schema("campaign-report"))
    # Ids are drawn by lot and no secrets.
    assert found["targets"][3]["runs"] == [run_id(15), run_id(16)]
    assert found["gains"][0]["targets"] == [target(2).target, target(3).target]


def test_commands_show_list_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(campaign_list, tmp_path) == 0
    assert "no campaigns in" in capsys.readouterr().err
    before = on_disk(tmp_path, small())
    after = small(compared_with=before.campaign.id)
    after.last[target(3).target] = happened(3, Outcome(word="resolved", rung="stable"))
    last = on_disk(tmp_path, after, ended=False)
    assert command(campaign_list, tmp_path) == 0
    listed = capsys.readouterr().out.splitlines()
    assert re.match(rf"{last.campaign.id} +not ended +10 +6 +3 +1$", listed[1])
    assert re.match(rf"{before.campaign.id} +ended +10 +6 +2 +1$", listed[2])
    assert command(campaign_show, tmp_path, "last") == 0
    shown = capsys.readouterr().out
    assert "What to do next:\n  1. " in shown
    assert "NVRAM default lan_ipaddr: 1 target needs it next" in shown
    assert command(campaign_show, tmp_path, "last", "--targets", "lost") == 0
    assert re.search(r"httpd6 .*its worker died three times", capsys.readouterr().out)
    # The campaign that it was begun with is the one it is held against.
    assert command(campaign_report, tmp_path, "last") == 0
    text = capsys.readouterr().out
    assert f"Against campaign `{before.campaign.id}`." in text
    assert re.search(
        r"^a/httpd3 +better +sideways, runs, missing_file +resolved, stable$", text, re.MULTILINE
    )
    page = tmp_path / "r.html"
    assert command(campaign_report, tmp_path, "last", "--format", "html", "-o", str(page)) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(TriageError, match="exists already"):
        command(campaign_report, tmp_path, "last", "--format", "html", "-o", str(page))
    with pytest.raises(TriageError, match="there is no campaign 'nope'"):
        command(campaign_report, tmp_path, "last", "--compare", "nope")
    # One that it names itself and that is gone costs the comparison only.
    for path in before.dir.iterdir():
        path.unlink()
    before.dir.rmdir()
    capsys.readouterr()
    assert command(campaign_report, tmp_path, "last", "--json") == 0
    out, err = capsys.readouterr()
    assert "not compared: there is no campaign" in err
    assert msgspec.json.decode(out)["comparison"] is None


def test_the_report_is_chinese_and_what_firmware_says_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = small()
    state.targets[0].name, state.targets[0].group, state.targets[5].group = "well", "", "stuck"
    outcome = state.outcome(state.targets[1].target)
    assert outcome is not None
    outcome.headline = (
        'httpd (ARM, pid 2) is about to exit(1): openat("/etc/a.conf") = ENOENT just before.'
        " Most likely: missing_file (0.97)."
    )
    on_disk(tmp_path, state)
    assert command(campaign_report, tmp_path, "last", "--lang", "zh") == 0
    text = capsys.readouterr().out
    # Names of firmware are no words of ours, whatever they are.
    assert re.search(r"^well +正常 ", text, re.MULTILINE)
    assert re.search(r"^stuck +1 ", text, re.MULTILINE)
    assert re.search(r"1 个正常.1 个有进展", text)
    assert "is about to" not in text
    assert "即将" in text
    assert re.search(r"1 个目标在途中丢失.triage-tui campaign `--resume", text)
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(titles) == 9
    assert not [title for title in titles if title.isascii()]
    assert re.search(r"10 个目标.2 个正常.1 个有进展", text)
    assert re.search(
        r"^\*\*1\\\. NVRAM default `lan_ipaddr`.2 个目标下一步需要它.能使几个有进展.未知", text, re.MULTILINE
    )
    assert "missing_file open(/etc/a.conf) ENOENT" in text


def test_a_campaign_is_held_against_an_earlier_one_and_not_against_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = on_disk(tmp_path, small())
    second = on_disk(tmp_path, small())
    with pytest.raises(
        TriageError, match=f"{second.dir.name} cannot be held against itself: name an earlier one"
    ):
        command(campaign_report, tmp_path, "last", "--compare", "last")
    assert command(campaign_report, tmp_path, first.dir.name, "--compare", "last") == 0
    assert "is the later one: what is told as better became worse" in capsys.readouterr().out


def test_who_was_well_at_once_by_rules_is_told_only_where_they_acted() -> None:
    def told(acted: int | None) -> list[str]:
        state = state_of([target(1)], {1: Outcome(word="healthy", acted=acted)}, rules_hash="x")
        return [text for text in make_report(state).unknown if "well at once" in text]

    assert told(0) == []
    assert told(2) == told(None) != []
