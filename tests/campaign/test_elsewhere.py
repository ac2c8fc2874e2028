"""Workers that share nothing with the campaign but a port, and its own, which share not even that."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from triage_tui.campaign import cluster
from triage_tui.campaign.record import campaign_dir, campaign_ids, read_campaign
from triage_tui.cli.main import main
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import Interrupted, Stopped, TriageError
from triage_tui.retry.start import read_start
from triage_tui.runs.reader import load_run


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A Dask scheduler with one worker, which has its own cache of roots."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "TRIAGE_TUI_ROOTS": str(tmp_path / "store")}
    common = ["--host", "127.0.0.1", "--no-dashboard"]
    worker = ["worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path / "w")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *words, *common],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in (["scheduler", "--port", address.rpartition(":")[2]], worker)
    ]
    yield address
    for process in processes:
        process.kill()
        process.wait()


def listening() -> set[str]:
    """Inodes of the sockets at which this process listens: /proc/net/tcp, state 0A, and the UNIX ones."""
    own = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(fd)
        except OSError:
            continue
        own.add(name.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                found.add(words[9])
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[3], 16) & 0x10000:
            found.add(words[6])
    return found & own


def test_a_root_travels_by_its_hash_and_runs_come_back(
    scheduler: str,
    rootfs: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = rootfs("busybox-armel")
    file = tmp_path / "targets.yaml"
    file.write_text(
        "schema: 1\ntargets:\n"
        f"  - {{name: shell, root: {root}, program: /bin/busybox, argv: [/bin/busybox, sh, -c, 'exit 3']}}\n"
        f"  - {{name: none, root: {root}, program: /bin/busybox, argv: [/bin/busybox, 'false']}}\n"
    )
    words = ["campaign", "-C", str(tmp_path), str(file), "--scheduler", scheduler, "--policy", "manual"]

    # Of another version: no target is given to it, and nothing is left of the campaign.
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "VERSION", "9.9/1")
        assert main(words) == 2
    err = capfd.readouterr().err
    assert "has triage-tui 0" in err
    assert "install triage-tui 9.9 on the workers" in err
    assert campaign_ids(tmp_path) == []

    assert main(words) == 0
    state = read_campaign(campaign_dir(tmp_path, "last"))
    assert state.counts() == {"finished": 2}
    (stored,) = (path for path in (tmp_path / "store").iterdir() if (path / "root").is_dir())
    assert stored.name == state.targets[0].root_hash
    for one in state.targets:
        outcome = state.outcome(one.target)
        assert outcome is not None
        run = load_run(tmp_path / "ai_runs" / outcome.runs[0])
        assert run.problems == []
        assert run.snapshot.target.rootfs == str(root)
        assert read_start(run.dir).argv == one.argv
        assert run.snapshot.trigger.exit_code == (3 if one.name == "shell" else 1)
    assert not list((state.dir / "work").iterdir())
    assert not (state.dir / "packs").exists()


def test_a_scheduler_that_is_not_there_is_one_sentence(
    rootfs: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    file = tmp_path / "targets.yaml"
    root = rootfs("busybox-armel")
    file.write_text(f"schema: 1\ntargets:\n  - {{name: shell, root: {root}, program: /bin/busybox}}\n")
    words = ["campaign", "-C", str(tmp_path), str(file), "--scheduler"]
    for address, why in (
        ("tcp://127.0.0.1:1", "the scheduler tcp://127.0.0.1:1 cannot be reached"),
        ("tls://127.0.0.1:1", "asks for certificates: give --tls-ca-file"),
        ("127.0.0.1", "takes an address as tcp://HOST:8786"),
    ):
        assert main([*words, address]) == 2
        assert why in capfd.readouterr().err.splitlines()[-1]
    files = [word for name in ("ca-file", "cert", "key") for word in (f"--tls-{name}", str(file))]
    assert main([*words, "tls://127.0.0.1:1", *files]) == 2
    assert "the TLS files cannot be used" in capfd.readouterr().err
    assert campaign_ids(tmp_path) == []


def test_workers_of_this_machine_open_no_port() -> None:
    before = listening()
    workers = cluster.embedded(2, "c")
    try:
        assert workers.slots(print) == {"": 2}
        assert listening() == before
    finally:
        workers.close()
    wait_until(lambda: listening() == before)


def test_dask_is_loaded_by_a_campaign_alone_and_its_lack_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = (
        "import sys, triage_tui.cli.campaign; print({'dask', 'distributed', 'tornado'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["campaign", "-C", str(tmp_path), "targets.yaml"]) == 2
    assert "pip install 'triage-tui[campaign]'" in capfd.readouterr().err


def test_a_second_signal_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triage_tui.cli.rounds._SAME_S", 0.0)

    def twice() -> None:
        with cancelled_by_signals(impatient=True) as cancel:
            os.kill(os.getpid(), signal.SIGINT)
            assert cancel.wait(10)
            os.kill(os.getpid(), signal.SIGTERM)
            cancel.wait(0)

    with pytest.raises(Interrupted) as ended:
        twice()
    assert ended.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN


def test_who_accepts_and_says_nothing_does_not_hold_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    cancel = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TriageError, match="cannot be reached"):
            cluster.connected(address, cluster.Tls(), "c", cancel)
        cancel.set()
        with pytest.raises(Stopped):
            cluster.connected(address, cluster.Tls(), "c", cancel)
