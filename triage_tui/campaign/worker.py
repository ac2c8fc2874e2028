"""What a worker does with an order: have the target played, and give back what came of it.

`play` is the one function that a campaign calls on workers; it is called in a thread of the worker, one for
each target that the worker may play at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from triage_tui.campaign.order import VERSION, Answer, AnswerKind, Order, decode_answer, decode_order, encode
from triage_tui.campaign.place import ANSWER_FILE, has_no_room, is_full, prepare
from triage_tui.campaign.player import Died, Player
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.runs.writer import remove_abandoned
from triage_tui.text import safe_line

MAX_ANSWER_BYTES = 64 << 20
"""Of an answer without its parcel."""
_OVER_S = 120.0
"""How much longer than its limit a target may take, before it is stopped from outside."""
_WITHOUT_LIMIT_S = 24 * 3600.0
_PREFIX = "triage-tui-target-"
_own = threading.local()


def play(raw: bytes, cancelled: Callable[[], bool] = lambda: False, worker: str = "") -> bytes:
    """Play an order and return the answer, both as they travel; never raises for what an order holds."""
    order = decode_order(raw)
    kind: AnswerKind
    try:
        answer = _answer(order, cancelled)
    except Died as error:
        kind = "no room" if has_no_room(Path(order.place or tempfile.gettempdir())) else "died"
        answer = Answer(target=order.target.target, kind=kind, error=str(error))
    except OSError as error:
        kind = "no room" if is_full(error) else "failed"
        answer = Answer(target=order.target.target, kind=kind, error=error.strerror or str(error))
    except TriageError as error:
        kind = "no room" if is_full(error.__cause__) else "failed"
        answer = Answer(target=order.target.target, kind=kind, error=safe_line(str(error), 600))
    answer.worker = worker
    return encode(answer)


def _answer(order: Order, cancelled: Callable[[], bool]) -> Answer:
    target = order.target
    if order.version != VERSION:
        said = f"it has triage-tui {VERSION}, and the campaign has {safe_line(order.version, 40)}"
        return Answer(target=target.target, kind="version", error=said)
    if order.place:
        return _played(order, Path(order.place), cancelled)
    from triage_tui.campaign.parcel import pack
    from triage_tui.campaign.worker_roots import in_use, root_of

    root = root_of(target.root_hash)
    if root is None:
        return Answer(target=target.target, kind="root")
    here = msgspec.structs.replace(order, target=msgspec.structs.replace(target, root=str(root)))
    remove_abandoned(Path(tempfile.gettempdir()), f"{_PREFIX}*")
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # It ends with this process: what is not locked was left by one that was killed.
        fcntl.flock(handle, fcntl.LOCK_SH)
        with in_use(target.root_hash) as is_there:
            if not is_there:
                # Another worker of this machine needed the room in this very moment.
                return Answer(target=target.target, kind="root")
            answer = _played(here, place / "workspace", cancelled)
        if answer.kind == "finished":
            answer.parcel = pack(place / "workspace")
        return answer
    finally:
        os.close(handle)
        shutil.rmtree(place, ignore_errors=True)


def _played(order: Order, place: Path, cancelled: Callable[[], bool]) -> Answer:
    prepare(place, order)
    limit = order.options.target_s + _OVER_S if order.options.target_s else _WITHOUT_LIMIT_S
    if not _player().play(place, cancelled, limit):
        why = "it was stopped" if cancelled() else f"it took more than {limit:.0f} s and was stopped"
        return Answer(target=order.target.target, kind="stopped", error=why)
    return decode_answer(read_bounded(place / ANSWER_FILE, MAX_ANSWER_BYTES, whole=True))


def _player() -> Player:
    """Return the player of this thread."""
    found: Player | None = getattr(_own, "player", None)
    if found is None:
        found = _own.player = Player()
        with _players_lock:
            _players.append(found)
    return found


_players: list[Player] = []
_players_lock = threading.Lock()


def players() -> list[Player]:
    """Return the players of this process."""
    with _players_lock:
        return list(_players)


def close_players() -> None:
    """End the players of this process, and what they play."""
    for player in players():
        with contextlib.suppress(OSError):
            player.close()
