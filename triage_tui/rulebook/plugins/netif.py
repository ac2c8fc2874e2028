"""The plugin netif: network interfaces that do not exist, with what netdevice(7) tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    ADDRESS,
    Claim,
    Configuration,
    Place,
    Settings,
    shown,
)
from triage_tui.text import number_of, safe_line

Address = Annotated[str, Meta(pattern=rf"\A{ADDRESS}\Z", description='an IPv4 address such as "192.168.1.1"')]
Hardware = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\Z",
        description='a hardware address such as "02:00:00:00:00:01"',
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"\A[^\x00-\x20/:]{1,15}\Z",
        description="the name of an interface, 1 to 15 characters without / and :",
    ),
]
_FILES = frozenset(("open", "openat", "openat2"))
_LOOKS = frozenset(
    str.split(
        "chdir access faccessat faccessat2 stat lstat stat64 lstat64 newfstatat fstatat64 statx readlink"
        " readlinkat"
    )
)
_SYS = "/sys/class/net"
_ATTRIBUTES = str.split("address carrier duplex flags ifindex mtu operstate speed tx_queue_len type")


class Interface(Settings, frozen=True, kw_only=True):
    """One interface: an Ethernet card that is up and has a link, without an address, but for what is set.

    `real`: it exists, and is only to tell what the emulator does not pass on: link, speed, protocol.
    """

    name: Name
    address: Address | None = None
    netmask: Address | None = None
    broadcast: Address | None = None
    peer: Address | None = None
    hardware: Hardware | None = None
    mtu: Annotated[int, Meta(ge=68, le=65536)] | None = None
    index: Annotated[int, Meta(ge=1, le=0x7FFFFFFF)] | None = None
    flags: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    real: bool = False
    up: bool = True
    link: bool = True
    speed: Annotated[int, Meta(ge=0, le=65535)] | None = None
    wireless: (
        Annotated[str, Meta(pattern=r"\A[ -~]{1,15}\Z", description="a text of up to 15 characters")] | None
    ) = None


class Netif(Configuration, frozen=True, kw_only=True):
    """The interfaces. `files`: also /proc/net/dev and /sys/class/net; `routes`: setting routes succeeds."""

    interfaces: Annotated[list[Interface], Meta(min_length=1, max_length=64)]
    files: bool = True
    routes: bool = False

    def hooks(self) -> frozenset[str]:
        """Requests about interfaces, binding to one, and, with `files`, what looks for files."""
        calls = frozenset(("ioctl", "setsockopt"))
        return calls | _FILES | _LOOKS if self.files else calls

    def after(self) -> frozenset[str]:
        """The list of interfaces is what the kernel lists, and these."""
        return frozenset(("ioctl",))

    def sentence(self) -> str:
        """Name the interface, or count them."""
        if len(self.interfaces) > 1:
            return f"Answers for {number_of(len(self.interfaces), 'network interface')} that do not exist"
        return f"Answers for the network interface {_name(self.interfaces[0])}, which does not exist"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """Each interface with its address."""
        for index, one in enumerate(self.interfaces):
            address = f"address {one.address}" if one.address else "no address"
            state = "link" if one.link else "no link"
            number = f"number {one.index}" if one.index else "the number of lo"
            told = f"lets the program find the interface {_name(one)}: {address}, {state}, {number}"
            if one.real:
                told = f"lets the interface {_name(one)} tell of its link ({state})"
            yield ("interfaces", index), told
        if self.routes:
            yield ("routes",), "says that setting routes worked"

    def claims(self) -> list[Claim]:
        """Requests for the interfaces, lists of interfaces, and the files that tell of them."""
        asks, binds = frozenset(("ioctl",)), frozenset(("setsockopt",))
        lists = "SIOCGIFCONF or SIOCGIFNAME" + (" or SIOCADDRT or SIOCDELRT" if self.routes else "")
        claims = [Claim(asks, {"interface": _name(one)}) for one in self.interfaces]
        claims.append(Claim(asks, {"request": lists}))
        made_up = [one for one in self.interfaces if not one.real]
        # The record does not say what is set.
        claims += [Claim(binds, {"value": _name(one)}) for one in made_up]
        if self.files and made_up:
            claims += [Claim(_FILES, {"path": path}) for path in ("/proc/net/dev", "/proc/self/net/dev")]
            claims.append(Claim(_FILES | _LOOKS, {"path": _SYS}))
            for one in made_up:
                directory = f"{_SYS}/{_name(one)}"
                paths = (directory, *(f"{directory}/{name}" for name in _ATTRIBUTES))
                claims += [Claim(_FILES | _LOOKS, {"path": path}) for path in paths]
        return claims

    def problems(self) -> Iterator[tuple[Place, str]]:
        """A name that is there twice, settings that need an address."""
        seen = set()
        for index, one in enumerate(self.interfaces):
            if one.name in seen:
                yield ("interfaces", index, "name"), "this name is there twice"
            seen.add(one.name)
            if one.name in (".", ".."):
                yield ("interfaces", index, "name"), "no interface can have this name"
            if one.name == "lo" and not one.real:
                yield ("interfaces", index, "name"), "the loopback interface is there already"
            for setting in ("netmask", "broadcast", "peer"):
                if getattr(one, setting) and not one.address:
                    yield ("interfaces", index, setting), "it needs an address"


def _name(one: Interface) -> str:
    return safe_line(shown(one.name), 60)
