"""What the supervisor and the rule host say to each other about one syscall.

The supervisor owns the guest. It asks a `RuleCaller` about each hooked syscall (`GuestCall`) and does what
the `Answer` says. While a rule runs it may ask for the guest's memory, registers and files; the supervisor
serves that as a `GuestAccess`, the only power a rule has. All numbers are in guest terms: guest addresses,
guest syscall numbers, and errno numbers of the target (MIPS differs from the other Linux ports).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from triage_tui.rulehost.peer_script import PeerScript

Endian = Literal["little", "big"]

IfreqField = Literal["ifindex", "flags", "addr", "netmask", "broadaddr", "dstaddr", "hwaddr", "mtu", "metric"]
"""The member of the union in `struct ifreq` that a rule fills in, netdevice(7)."""

IFREQ_FIELDS: frozenset[str] = frozenset(
    ("ifindex", "flags", "addr", "netmask", "broadaddr", "dstaddr", "hwaddr", "mtu", "metric")
)

PeerMode = Literal["blackhole", "eof"]
"""What the injected peer does: `blackhole` reads everything and never answers, `eof` hangs up at once."""

StandIn = Literal["netlink", "netlink-empty", "blackhole"]
"""What is behind a new socket: `netlink` acknowledges every request, `netlink-empty` refuses all that would
change something, `blackhole` reads and never answers."""

STAND_INS: frozenset[str] = frozenset(("netlink", "netlink-empty", "blackhole"))

PEER_MODES: frozenset[str] = frozenset(("blackhole", "eof"))

HOST_DEVICES: frozenset[str] = frozenset(("/dev/zero", "/dev/null", "/dev/urandom", "/dev/random"))
"""The exact host paths that `open_host` may open (SFEmu's allow-list of c_open_host)."""


class GuestCall(msgspec.Struct, frozen=True):
    """One syscall that the guest is about to make.

    `name` and `num` are the guest's own name and number. `args` holds up to eight raw argument registers;
    unsigned or sign-extended values are both fine, missing ones count as 0. `pid` and `tid` are host ids.
    `ts_mono_ns` is the time of the call in the run record, which is what the rules' clock shows; 0 is now.
    """

    name: str
    num: int
    args: tuple[int, ...]
    pid: int = 0
    tid: int = 0
    ts_mono_ns: int = 0


class MakeCall(msgspec.Struct, frozen=True):
    """A wish of a rule that is not done yet: the thread is to make this call of the guest's, and no rule is
    asked about it. It goes on with the result."""

    number: int
    args: tuple[int, ...]


class AskPerson(msgspec.Struct, frozen=True):
    """The guest is to be frozen here, until a person has it go on. The rule goes on with 1."""

    why: str


class StartAgain(msgspec.Struct, frozen=True):
    """The process is to execute its own program again, as it was started, before the call is made.

    `variables` are set in its environment. The rule goes on, with a negative number, only where that fails.
    """

    variables: tuple[tuple[str, str], ...] = ()


class EndProcess(msgspec.Struct, frozen=True):
    """The process is to end with this code. Where that is not possible the rule goes on."""

    code: int


Wish = MakeCall | AskPerson | StartAgain | EndProcess


class Answer(msgspec.Struct):
    """What the rules decided about one call.

    `intercept`: do not execute the call, return `ret` (negative target errno on failure) to the guest.
    `after`: a rule wants to see the call's result; the supervisor asks `RuleCaller.returned` then.
    `rule`: id of the rule that answered, or that changed the guest and let the call pass; None when no rule
    acted. `log`: what rules wrote with c_log during this call, untrusted text. `error`: one sentence about
    a rule that failed during this call; the call itself goes on as the answer says.
    `wish`: the rule waits in the middle of what it does until this is done; `go_on` is called then, with what
    came of it, and returns the next answer. Nothing else of this answer counts but what was logged.
    """

    intercept: bool = False
    ret: int = 0
    rule: str | None = None
    after: bool = False
    log: list[str] = msgspec.field(default_factory=list)
    error: str | None = None
    wish: Wish | None = None
    go_on: Callable[[int], Answer] | None = None


class GuestAccess(Protocol):
    """What a rule may do to the frozen thread of the current call; implemented by the supervisor.

    The methods are called from inside `RuleCaller.call`, in the caller's thread, for the thread that makes
    the current call. Methods that return an `rc` give 0 or a positive value on success and the negative
    target errno on failure. Any method may raise OSError instead; the caller turns it into a negative errno
    (memory methods and ifreq_name: always -EFAULT) and never lets it reach the supervisor.
    """

    @property
    def endian(self) -> Endian:
        """Byte order of the guest."""
        ...

    @property
    def word(self) -> int:
        """Size of a guest address and register in bytes, 4 or 8."""
        ...

    @property
    def arch(self) -> str:
        """QEMU's name of the architecture of the program that makes the current call, such as "mipsel"."""
        ...

    def errno_number(self, name: str) -> int | None:
        """Positive target errno of a symbolic name ("ECONNREFUSED"), None for an unknown name."""
        ...

    def read_bytes(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes at an unsigned guest address; OSError when any of them is not readable."""
        ...

    def write_bytes(self, address: int, data: bytes) -> None:
        """Write all of `data` at an unsigned guest address, or raise OSError.

        Works on mappings that the guest itself may not write (a path in .rodata).
        """
        ...

    def read_registers(self) -> Mapping[str, int]:
        """Registers of the calling thread, name to unsigned value, in the debugger's order."""
        ...

    def write_register(self, name: str, value: int) -> int:
        """Set one register to an unsigned value; rc."""
        ...

    def set_argument(self, index: int, value: int) -> int:
        """Give argument `index` (0 to 7) of the current call another value; rc.

        The call is then made with the arguments as they are when the rules have been asked, unless a rule
        answers it. Not after the call (-EINVAL).
        """
        ...

    def start_program(self) -> int:
        """Run the program of the current execve under its emulator also where the run refuses that; rc.

        It takes effect where no rule answers the call. Elsewhere and after the call: -EINVAL.
        """
        ...

    def mkdir_p(self, path: bytes, mode: int) -> int:
        """Make a directory and its parents inside the guest's copy-on-write root; rc (0 when it exists)."""
        ...

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        """Create a regular file, with its parents, inside the guest's copy-on-write root; rc.

        An existing file is left as it is (-EEXIST). Links must not lead out of the root.
        """
        ...

    def remove_path(self, path: bytes) -> int:
        """Take what is at `path` out of the guest's copy-on-write root, a directory with all in it; rc.

        A link is taken away itself. -E2BIG for a directory with more than some thousand names.
        """
        ...

    def provide_socket(self, path: bytes, mode: int) -> int:
        """Create the name of a local socket, with its parents, inside the guest's copy-on-write root; rc.

        Nobody listens there. What exists is left as it is (-EEXIST).
        """
        ...

    def open_bytes(self, content: bytes, cloexec: bool, label: bytes = b"") -> int:
        """Give the guest a new descriptor on a private file that holds `content`; fd or -errno.

        `descriptor_label` tells `label` of every descriptor on that file, in every process of the guest.
        """
        ...

    def open_shared(self, content: bytes, cloexec: bool, label: bytes) -> int:
        """Give the guest a new descriptor on the one private file of this label; fd or -errno.

        The first opening makes it, with `content`; all processes of the guest share it until the run ends.
        """
        ...

    def write_shared(self, label: bytes, offset: int, data: bytes) -> int:
        """Write into the private file of this label, once it was opened; rc."""
        ...

    def descriptor_label(self, fd: int) -> bytes:
        """The label that a rule gave what descriptor `fd` of the calling process is open on.

        Empty for a descriptor on anything else; OSError when there is no such descriptor.
        """
        ...

    def descriptor_path(self, fd: int) -> bytes:
        """The path behind a descriptor of the calling process, as the guest sees it; OSError without one.

        Its working directory for -100 (AT_FDCWD). What has no path has the name that proc(5) shows.
        """
        ...

    def real_path(self, path: bytes) -> bytes:
        """An absolute path with the links of its directories followed, as the calling process does.

        The last part is not followed, and what is not there stays as it is. OSError: the links never end.
        """
        ...

    def write_field(self, address: int, structure: str, field: str, value: int) -> int:
        """Write one number of a structure at a guest address, as the guest lays it out; rc.

        -EINVAL for a structure or field that is not known ("stat", "st_mode").
        """
        ...

    def open_host(self, path: bytes, flags: int, mode: int, label: bytes = b"") -> int:
        """Give the guest a descriptor on a host device; fd or -errno. The path is one of `HOST_DEVICES`.

        Of `flags` the access mode and O_CLOEXEC count; `descriptor_label` tells `label`.
        """
        ...

    def ifreq_name(self, address: int) -> bytes:
        """Interface name in the `struct ifreq` that the current ioctl points to; OSError when unreadable.

        `address` is the guest address that the rule got as the third argument of ioctl.
        """
        ...

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        """Fill in one member of that `struct ifreq`; rc. The rule answers the call with 0 afterwards.

        `value` is an int for ifindex, flags, mtu and metric, 4 bytes in network order for the addresses
        and 6 bytes for hwaddr. The supervisor writes the struct in the layout that the emulator converts.
        """
        ...

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        """Replace the guest's socket `fd` by one end of a connected pair; rc.

        The supervisor keeps the other end and treats it as `mode` says until the guest ends.
        """
        ...

    def connect_script(self, fd: int, script: PeerScript) -> int:
        """Do the same; the other end answers as the script says, and what it is told is logged; rc."""
        ...

    def tell_peer(self, fd: int, message: bytes) -> int:
        """Have the peer that a rule put behind the socket `fd` take `message` as sent; its length or -errno.

        -ENOTCONN where there is none; an empty message only asks for that.
        """
        ...

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        """Send `payload` to port 80, else 443, of an IPv4 address in the guest's network; rc.

        Nothing is waited for and nothing told of the answer. `timeout` is seconds, for each step.
        """
        ...

    def socket_stub(self, kind: StandIn, flags: int, protocol: int, label: bytes = b"") -> int:
        """Give the guest a new socket that keeps message borders; fd or -errno.

        `flags` is the guest's socket type with its SOCK_NONBLOCK and SOCK_CLOEXEC, `protocol` that of netlink
        that it stands in for, -1 for one that is not known. The supervisor keeps the other end until the
        guest ends; bind, getsockname and netlink's own options are answered as netlink(7) has them.
        `descriptor_label` tells `label` of a `blackhole` one.
        """
        ...

    def module_base(self, path: str, build: str) -> int:
        """Where the file `path` is mapped: the lowest address of it, or -errno.

        `build` is "build-id:HEX" or "sha256:HEX"; -ENOENT where no such file is mapped, -ESTALE where it is
        another build: an offset in the one means nothing in the other.
        """
        ...

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        """What lies at a guest code address, None when nothing is known.

        Keys as in SFEmu's c_resolve_addr, all optional: map_start, map_offset, load_bias, analysis_addr,
        map_path, module_name, module_real_path, func_name, func_entry, func_size, func_offset, prototype.
        """
        ...

    def callers(self, most: int) -> Sequence[Mapping[str, int | str]]:
        """The call stack of the calling thread, innermost frame first, at most `most` frames.

        Each has `addr`, the guest address where it stands or returns to, and what is known of it of
        module_name, module_real_path, analysis_addr (in the module's own terms), func_name and func_offset.
        """
        ...


class RuleCaller(Protocol):
    """What the supervisor asks at each hooked syscall."""

    @property
    def sees_all(self) -> bool:
        """Whether it hooks whatever can be hooked: then it does not show that it was not asked."""
        ...

    def look(self) -> None:
        """Called every few hundredths of a second while the guest runs."""
        ...

    def hooks(self) -> set[str]:
        """Guest syscall names that some rule still wants to see."""
        ...

    def call(self, call: GuestCall) -> Answer:
        """Run the rules of this syscall. Never raises for a failing rule; see `Answer.error`."""
        ...

    def returned(self, call: GuestCall, ret: int) -> Answer:
        """Show the rules that asked for it the result of a call that was made: `ret`, or a negative errno.

        With `Answer.intercept` the guest gets `Answer.ret` instead. Never raises for a failing rule.
        """
        ...
