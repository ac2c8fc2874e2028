"""The campaign screen with 10,000 targets: until it stands, keys, the event loop while outcomes come, memory.

`python -m benchmarks.campaign_screen` makes a campaign of made-up records (no guest is run), opens it in the
app in a real pseudo terminal of 120x40, and appends outcomes while keys are held down. `--targets` scales it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
from pathlib import Path

from benchmarks.blocks import Session
from benchmarks.keys import DOWN, END, HOME, PAGE_DOWN, cursor_row, percentile
from triage_tui.campaign.model import Campaign, Need, Options, Outcome, Progress, RuleOutcome, Target
from triage_tui.campaign.record import PROGRESS_FILE, ProgressLog, create, held
from triage_tui.runs.encoding import encode_line

_MIB = 1 << 20
_WORDS = ("healthy", "resolved", "progressed", "sideways", "diagnosed", "not diagnosed", "regressed")
_OUTCOMES_A_SECOND = 20


def make_campaign(workspace: Path, count: int, done: int) -> Path:
    """Write a campaign of `count` targets of which `done` have an outcome; return its directory."""
    (workspace / "ai_runs").mkdir(parents=True, exist_ok=True)
    campaign = Campaign(id="", started="2026-01-31T02:00:00+00:00", options=Options())
    directory = create(workspace, campaign, [_target(number) for number in range(count)])
    lines = b"".join(encode_line(outcome(number)) + b"\n" for number in range(done))
    (directory / PROGRESS_FILE).write_bytes(lines)
    return directory


def _target(number: int) -> Target:
    return Target(
        target=f"{number:016x}",
        name=("httpd", "dnsmasq", "udhcpc", "telnetd", "upnpd")[number % 5],
        root=f"/fw/{number // 20}",
        root_hash=f"{number // 20:064x}",
        program="/bin/busybox",
        argv=["httpd", "-f", "-p", str(number)],
        arch="mips",
        origin=f"init.d/S{number % 100}",
        group=f"fw{number // 20}",
    )


def outcome(number: int) -> Progress:
    """Return a made-up outcome: forty causes, three hundred keys that are missing, seven kinds of rules."""
    draw = random.Random(number)
    word, cause = draw.choice(_WORDS), draw.randrange(40)
    found = Outcome(
        word=word,
        rung=draw.choice(("runs", "passed", "listens", "stable")),
        runs=[f"20260131_020000_{number * 2 + place:08d}" for place in (1, 2)],
        cause="missing_file",
        signature=f"missing_file open(/etc/{cause}.conf) ENOENT",
        headline=f'httpd (MIPS, pid 2) is about to exit(1): openat("/etc/{cause}.conf") = ENOENT just before',
        rules=[
            RuleOutcome(
                id=f"r{cause}",
                template=f"t{cause % 7}",
                title=f"Provide /etc/{cause}.conf",
                run=f"20260131_020000_{number * 2 + 2:08d}",
            )
        ],
        needs=[
            Need(template=f"t{cause % 7}", subject=f"NVRAM default key{draw.randrange(300)}")
            for _ in range(draw.randrange(4))
        ],
        rounds=2,
        ended="no rule is left that the policy allows",
    )
    return Progress(
        event="finished", target=f"{number:016x}", outcome=found, seconds=draw.random() * 60, worker="w1"
    )


def _grow(directory: Path, first: int, last: int, ended: threading.Event) -> None:
    log = ProgressLog(directory)
    for number in range(first, last):
        if ended.wait(1 / _OUTCOMES_A_SECOND):
            break
        log.add(outcome(number))
    log.close()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _measure(Path(scratch), args.targets, args.keys)


def _measure(scratch: Path, count: int, keys: int) -> None:
    workspace = scratch / "lab"
    done = count - count // 10
    directory = make_campaign(workspace, count, done)
    session = Session(workspace, {"XDG_STATE_HOME": str(scratch / "state")}, scratch / "blocks")
    ended = threading.Event()
    with held(directory), session.terminal as terminal:
        terminal.wait_for("No runs yet")
        terminal.settle(1.0)
        before = terminal.memory()[0]
        with session.step(f"{count} targets are read and shown"):
            pressed = terminal.send("Q")
            stands = terminal.wait_for("fw0/httpd") - pressed
        after = terminal.memory()[0]
        look = cursor_row(terminal)
        still = [terminal.answer(DOWN, look) for _ in range(keys)]
        writer = threading.Thread(target=_grow, args=(directory, done, count, ended))
        writer.start()
        with session.step(f"keys held down while {_OUTCOMES_A_SECOND} outcomes a second come"):
            terminal.hold(DOWN, 150)
            terminal.hold(PAGE_DOWN, 60)
        moving = [terminal.answer(DOWN, look) for _ in range(keys)]
        ended.set()
        writer.join()
        with session.step("first and last row, orders, folded and unfolded"):
            for key in (END, HOME, "s", "s", "o", "o"):
                terminal.hold(key, 2, 0.2)
        with session.step("a filter"):
            for key in ("/", "s", "t", "a", "n", "d", "s", ":", "w", "\x1b"):
                terminal.hold(key, 1, 0.1)
        with session.step("stories, rules, what to do next"):
            for key in "234":
                terminal.hold(key, 1, 0.3)
                terminal.hold(DOWN, 20)
        last = terminal.memory()[0]
    print(f"\nThe campaign screen, {count} targets, {done} of them with an outcome (120x40)")
    print(f"  until it stands                 {stands * 1e3:8.0f} ms")
    for name, seconds in (("key to paint", still), ("the same while outcomes come", moving)):
        half, most = statistics.median(seconds), percentile(seconds, 95)
        print(f"  {name:<30}  {half * 1e3:8.1f} ms, 95 % within {most * 1e3:.1f} ms")
    sizes = "  ".join(f"{size / _MIB:.0f}" for size in (before, after, last))
    print(f"  memory before, with it, at the end   {sizes} MiB")
    print("\nThe event loop was blocked (longest time in ms)")
    for step in session.steps:
        worst = step.blocks[0] if step.blocks else None
        found = f"{worst.seconds * 1e3:8.0f} computed {worst.computing * 1e3:3.0f}" if worst else "under 10"
        print(f"  {step.what:<62} {found}  {worst.what[:60] if worst else ''}")


if __name__ == "__main__":
    main()
