"""What templates need beyond a hypothesis's own parameters: devices, addresses, numbers, contents."""

from __future__ import annotations

import posixpath
import re
import socket
import struct

from triage_tui.diagnosis.calls import descriptor, operation, request, request_number
from triage_tui.proposals.content import choose, may_be_file, now_at, of_processes
from triage_tui.proposals.lua import guest_bytes, lua_long_string
from triage_tui.proposals.names import unresolved_name
from triage_tui.proposals.peers import peer_literals
from triage_tui.proposals.requests import known_answer, sized_answer, statements
from triage_tui.proposals.stores import store_keys
from triage_tui.proposals.templates import Library
from triage_tui.proposals.waits import variable_literals, wait_literals
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.placeholders import placeholder
from triage_tui.runs import guest_abi
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.socket_options import option_number
from triage_tui.text import safe_line

# netdevice(7): the requests have these numbers on every Linux architecture.
_REQUESTS = {
    "SIOCGIFNAME": 0x8910, "SIOCGIFCONF": 0x8912, "SIOCGIFFLAGS": 0x8913, "SIOCSIFFLAGS": 0x8914,
    "SIOCGIFADDR": 0x8915, "SIOCGIFDSTADDR": 0x8917, "SIOCGIFBRDADDR": 0x8919, "SIOCGIFNETMASK": 0x891B,
    "SIOCGIFMETRIC": 0x891D, "SIOCGIFMTU": 0x8921, "SIOCGIFHWADDR": 0x8927, "SIOCGIFINDEX": 0x8933,
    "SIOCETHTOOL": 0x8946, "SIOCGMIIPHY": 0x8947, "SIOCGMIIREG": 0x8948, "SIOCGIWNAME": 0x8B01,
}  # fmt: skip

_RANDOM = re.compile(r"random|hwrng|entropy")
_ZERO = re.compile(r"/zero\Z|/mem\Z|/sd|/mmcblk|/loop")


_KERNEL_FILES = ("/proc/", "/sys/")
"""Where no file can be made."""


def device_for(path: str) -> str:
    """Return the host device that comes nearest to the guest device `path`."""
    name = posixpath.basename(path)
    if _RANDOM.search(name):
        # /dev/random may block, which the program did not ask for.
        return "/dev/urandom"
    return "/dev/zero" if _ZERO.search(path) else "/dev/null"


def peer_bytes(peer: str, path: str) -> bytes | None:
    """Return what follows the address family in the struct sockaddr of `peer`, None when it cannot be known.

    unix(7): the path without its NUL; ip(7): port and address in network order.
    """
    if peer.startswith("unix:") or (path and not peer):
        name = guest_bytes(peer.removeprefix("unix:") if peer else path)
        return name or None
    match = re.fullmatch(r"inet:([0-9.]+):(\d{1,5})", peer)
    if match is None or int(match[2]) > 0xFFFF:
        return None
    try:
        return struct.pack("!H", int(match[2])) + socket.inet_pton(socket.AF_INET, match[1])
    except OSError:
        return None


def _integer(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def literals(
    run: Run, hypothesis: Hypothesis, library: Library
) -> tuple[dict[str, str], dict[str, str], str | None]:
    """Return (Lua literals, words for the texts, what a person must supply) for one hypothesis.

    A parameter that is not known is in neither mapping.
    """
    given = hypothesis.parameters
    words = {name: safe_line(value, 160) for name, value in given.items()}
    code: dict[str, str] = {}
    needs: str | None = None
    for name in ("path", "absolute", "directory", "interface"):
        if given.get(name):
            code[name] = lua_string(guest_bytes(given[name]))
    absolute = given.get("absolute", "")
    if absolute:
        if may_be_file(absolute, run.snapshot.target.rootfs):
            target = run.snapshot.target
            content = choose(absolute, target.rootfs, library, target.arch)
            code["content"] = "nil" if content.data is None else lua_long_string(content.data)
            words |= {"content": "", "content_from": content.source, "content_risk": content.risk}
            needs = content.needs
        if absolute.startswith(_KERNEL_FILES) and not of_processes(absolute):
            content = choose(absolute, run.snapshot.target.rootfs, library)
            wanted = lua_string(placeholder(content.needs or "").encode())
            code["kernel_file"] = wanted if content.data is None else lua_string(content.data)
            words |= {"content_from": content.source, "content_risk": content.risk}
        if hypothesis.cause == "nvram_key":
            code["store_keys"], words["store_from"] = store_keys(run.snapshot.target.rootfs)
        if absolute in ("/etc/hosts", "/etc/resolv.conf") and (name := unresolved_name(run)):
            wanted = placeholder(f"the IPv4 address of {name}")
            code["hosts"] = lua_long_string(f"127.0.0.1 localhost\n{wanted} {name}\n".encode())
            words["host_name"] = safe_line(name, 160)
        device = device_for(absolute)
        code["device"], words["device"] = lua_string(device.encode()), device
    conditions, told = wait_literals(run, hypothesis)
    code |= conditions
    words |= told
    number = _integer(given.get("request_number", "")) or _REQUESTS.get(given.get("request", ""))
    if number:
        code["request_number"] = f"0x{number & 0xFFFFFFFF:x}"
        words["request_number"] = code["request_number"]
    first = _integer(given.get("first_argument", ""))
    code["first_argument"] = str(first) if first is not None else "nil"
    raw = peer_bytes(
        given.get("peer", ""), given.get("path", "") if given.get("operation") == "connect" else ""
    )
    if raw is not None:
        code["peer_bytes"] = lua_string(raw)
        code["is_path"] = "false" if given.get("peer", "").startswith("inet:") else "true"
        words["peer_name"] = words.get("peer") or words.get("path", "a peer")
    seq = _integer(given.get("seq", ""))
    call = run.syscall(seq) if seq is not None else None
    arch = (call and call.arch) or run.snapshot.target.arch
    _split(given, arch, code, words)
    code["endian"] = '">"' if guest_abi.endian(arch) == "big" else '"<"'
    code["word"] = str(guest_abi.word(arch))
    variable, named = variable_literals(run, hypothesis, ">" if guest_abi.endian(arch) == "big" else "<")
    code |= variable
    words |= named
    code["stack_register"] = lua_string(_STACK_REGISTERS.get(arch, "sp").encode())
    if absolute.startswith("/"):
        _copy(run, given, absolute, code, words)
    seen = [one for one in run.trace() if seq is None or one.seq <= seq]
    peers, told = peer_literals(run, given, seen)
    code |= peers
    words = told | words
    if given.get("errno") == "EBADF":
        _descriptor(seen, first, code, words)
    if given.get("operation") in ("send", "write", "bind", "read"):
        _netlink(seen, call, code, words)
    if given.get("operation") == "ioctl":
        _answers(run, given, arch, library, code, words)
    return code, words, needs


_STACK_REGISTERS = {"x86_64": "rsp", "i386": "esp", "ppc": "r1", "ppc64le": "r1", "s390x": "r15"}
"""Where it has another name than sp."""
_COPIES = "/run/copies"
"""Where writable copies lie, in the guest's copy-on-write root."""
_NETLINK = {
    "NETLINK_ROUTE": 0, "NETLINK_SOCK_DIAG": 4, "NETLINK_NFLOG": 5, "NETLINK_XFRM": 6, "NETLINK_SELINUX": 7,
    "NETLINK_AUDIT": 9, "NETLINK_FIB_LOOKUP": 10, "NETLINK_CONNECTOR": 11, "NETLINK_NETFILTER": 12,
    "NETLINK_KOBJECT_UEVENT": 15, "NETLINK_GENERIC": 16, "NETLINK_CRYPTO": 21,
}  # fmt: skip
"""linux/netlink.h."""


def _copy(
    run: Run, given: dict[str, str], absolute: str, code: dict[str, str], words: dict[str, str]
) -> None:
    """Add where a writable copy of a file can lie, and what it holds: what is there now, or else nothing."""
    place = _COPIES + posixpath.normpath(absolute)
    content = now_at(absolute, run.snapshot.target.rootfs)
    # A file that the program means to make must not be there before, because of O_EXCL.
    made = content is None and given.get("creates")
    code["copy_content"] = "nil" if made else lua_long_string(content or b"")
    code["copy"] = lua_string(guest_bytes(place))
    code["copy_directory"] = lua_string(guest_bytes(posixpath.dirname(place)))
    words["copy"] = safe_line(place, 160)


def _descriptor(seen: list[Syscall], number: int | None, code: dict[str, str], words: dict[str, str]) -> None:
    """Add the descriptor that is not open, where the program closed it itself before."""
    closed = [one for one in seen if one.name == "close" and one.ret == 0 and descriptor(one) == number]
    if number is not None and closed:
        code["descriptor"] = words["descriptor"] = str(number)
        words["closed"] = str(closed[-1].seq)


def _netlink(
    seen: list[Syscall], failed: Syscall | None, code: dict[str, str], words: dict[str, str]
) -> None:
    """Add the netlink protocol of the socket that a message failed on."""
    number = descriptor(failed) if failed is not None else None
    for one in reversed(seen):
        if one.name == "socket" and one.ret == number and len(one.arguments) > 2:
            protocol = _NETLINK.get(one.arguments[2], _integer(one.arguments[2]))
            if protocol is not None and one.arguments[0] in ("PF_NETLINK", "AF_NETLINK", "16"):
                code["protocol"] = str(protocol)
                words["protocol"] = safe_line(one.arguments[2], 60)
            return


_REFUSALS = frozenset(("ENOTTY", "EINVAL", "ENOSYS", "EOPNOTSUPP", "ENOTSUP"))


def _answers(
    run: Run, given: dict[str, str], arch: str, library: Library, code: dict[str, str], words: dict[str, str]
) -> None:
    """Add what is known of the request of an ioctl: the structure that it fills in, or how long that is.

    A device has many requests, and a program often makes one after the other: those of the same device that
    were refused as well are answered by the same rule.
    """
    number = _integer(given.get("request_number", "")) or 0
    recorded = run.snapshot.created_at
    known = known_answer(library.requests, arch, number, given.get("request", ""), recorded)
    if number >> 8 in (0x89, 0x8B):
        # linux/sockios.h and linux/wireless.h: they are made on sockets.
        words["of_network"] = "yes"
    if number == _REQUESTS["SIOCETHTOOL"]:
        words["of_ethtool"] = "yes"
    if known is None:
        if size := sized_answer(arch, number):
            code["size"] = words["size"] = str(size)
        return
    found = {known.number: (known, given.get("request", ""))}
    for call in run.snapshot.recent_syscalls:
        if operation(call) != "ioctl" or call.errno not in _REFUSALS:
            continue
        other = known_answer(library.requests, arch, request_number(call), request(call), recorded)
        # The second byte is the same for all requests of a device.
        if other is not None and (other.number ^ known.number) & 0xFF00 == 0:
            found.setdefault(other.number, (other, request(call)))
    answers = [answer for _, (answer, _) in sorted(found.items())]
    code["answers"] = statements(answers)
    structures = [answer.structure for answer in answers if answer.structure]
    words |= {
        "answers": ", ".join(answer.name for answer in answers),
        "answered": ", ".join(structures) or "nothing",
        "answer_risk": known.risk,
        "match_request": " or ".join(name for _, (_, name) in sorted(found.items())),
        "request_number": f"0x{known.number:x}",
    }
    code["request_number"] = words["request_number"]


def _split(given: dict[str, str], arch: str, code: dict[str, str], words: dict[str, str]) -> None:
    """Read the numbers in `detail`: level and option of a socket option, process and signal of a kill."""
    numbers = [option_number(arch, part.strip()) for part in given.get("detail", "").split(",")]
    names = {"sockopt": ("level", "option"), "kill": ("process", "signal")}.get(
        given.get("operation", ""), ()
    )
    for name, number in zip(names, numbers, strict=False):
        if number is not None:
            code[name] = words[name] = str(number)
