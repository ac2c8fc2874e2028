"""What a guest logs to files of its own and to the system log, kept and lined up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.guest.helpers import shell, spec
from triage_tui.diagnosis.report import diagnose
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.model import Engine
from triage_tui.runs.printed_text import printed_text
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.shown_logs import shown_logs
from triage_tui.runs.writer import RunWriter

SCRIPT = r"""
mkdir -p /var/log /run/app /tmp
echo 'service starts' >> /var/log/app.log
logger -t app -p daemon.err 'calibration block is missing'
echo plain; echo loud >&2
printf '\000\001\002' > /tmp/state.bin
echo 'one' > /tmp/log; echo 'two' > /tmp/log
echo 'here' > /run/app/app.log
od /bin/busybox | head -n 8000 > /tmp/long.out
ln -s /etc/passwd /tmp/err.log; mkfifo /tmp/fifo.log
cat /etc/cal.bin 2> /tmp/said
echo 'cannot open /etc/cal.bin: giving up' >> /var/log/app.log
exit 3
"""


def captured(guest: Guest, runs: Path) -> Run:
    stop = guest.run_until_stop()
    writer = RunWriter(runs)
    capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
    return load_run(writer.publish())


def test_what_a_real_guest_logs(rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path) -> None:
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *shell(SCRIPT))) as guest:
        run = captured(guest, tmp_path)
    logs = {entry.path: entry for entry in run.snapshot.logs}
    assert set(logs) == {
        "/dev/log",
        "/var/log/app.log",
        "/tmp/log",
        "/run/app/app.log",
        "/tmp/long.out",
        "/tmp/said",
    }
    assert run.text_file(logs["/var/log/app.log"].file).splitlines() == [
        "service starts",
        "cannot open /etc/cal.bin: giving up",
    ]
    # A second file of the same name, and one that was emptied in between.
    assert logs["/run/app/app.log"].file != logs["/var/log/app.log"].file
    assert run.text_file(logs["/tmp/log"].file) == "two\n"
    # Of a long one the beginning and the end are kept, and its last line is placed all the same.
    long = logs["/tmp/long.out"]
    kept = run.text_bytes(long.file)
    assert len(kept) < long.size
    assert kept.startswith(b"0000000 ")
    assert b"bytes left out" in kept
    assert not long.unclear
    assert "calibration block is missing" in run.text_file("logs/syslog.log")
    # Each piece belongs to the call that wrote it, output of the turned descriptors included.
    printed = printed_text(run, run.trace())
    assert printed.why == ""
    texts = {seq: text.decode() for seq, text in printed.texts.items()}
    by_text = {text.strip(): run.syscall(seq) for seq, text in texts.items()}
    for text, stream in (("plain", "stdout"), ("loud", "stderr"), ("service starts", "file-app")):
        call = by_text[text]
        assert call is not None
        assert call.printed is not None
        assert call.printed.stream == stream
    assert not logs["/tmp/said"].is_log
    connect = next(call for call in run.trace() if call.peer == "unix:/dev/log" and call.printed)
    assert "calibration block" in texts[connect.seq]
    # They are shown and cited, and the diagnosis reads them.
    rows = {log.file: log.rows for log in shown_logs(run)}
    assert rows["syslog.log"][0][1] == f"#{connect.seq}"
    link = make_link(run, "log", "file-app.log", line=2)
    assert "giving up" in resolve(run, link).text
    diagnosis = diagnose(run)
    assert "file-app.log#L2" in repr(diagnosis.hypotheses[0])
    assert diagnosis.hypotheses[0].cause == "missing_file"
