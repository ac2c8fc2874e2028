"""Error numbers of the guest's ABI: names, and translation between guest and host numbers.

Linux numbers errors the same on most architectures (asm-generic/errno-base.h, asm-generic/errno.h). MIPS
keeps the numbers of the MIPS ABI from 35 on (arch/mips/include/uapi/asm/errno.h); PowerPC differs in
EDEADLOCK only (arch/powerpc/include/uapi/asm/errno.h). The host is taken to be a generic one (x86-64,
arm64): those are the hosts on which syscalls can be intercepted.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Literal

ErrnoKind = Literal["generic", "mips", "powerpc"]
"""Which of the kernel's numberings an architecture uses."""

_BASE = (
    "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK "
    "EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE "
    "EROFS EMLINK EPIPE EDOM ERANGE"
)
"""Names of 1..34, common to all."""

# A number sets the next number, a name takes it.
_GENERIC = (
    "35 EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP 42 ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT "
    "EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT 59 EBFONT ENOSTR "
    "ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT "
    "EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART "
    "ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT "
    "ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH "
    "ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT "
    "ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM "
    "EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED "
    "EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON"
)
_MIPS = (
    "35 ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EDEADLK ENOLCK 50 EBADE "
    "EBADR EXFULL ENOANO EBADRQC EBADSLT EDEADLOCK 59 EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG "
    "EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO 73 EDOTDOT EMULTIHOP 77 EBADMSG ENAMETOOLONG EOVERFLOW "
    "ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ENOSYS ELOOP ERESTART "
    "ESTRPIPE ENOTEMPTY EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT 120 "
    "EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL "
    "ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN EUCLEAN 137 "
    "ENOTNAM ENAVAIL EISNAM EREMOTEIO EINIT EREMDEV ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED "
    "EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE 158 ECANCELED ENOMEDIUM EMEDIUMTYPE ENOKEY "
    "EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON 1133 EDQUOT"
)
_SPECIAL = {"generic": "", "mips": "", "powerpc": " 58 EDEADLOCK"}

_ALIASES = {"EWOULDBLOCK": "EAGAIN", "ENOTSUP": "EOPNOTSUPP"}
"""Second names of one number on every Linux."""


@cache
def numbers(kind: ErrnoKind) -> MappingProxyType[str, int]:
    """Return name -> number of one numbering, second names included."""
    table: dict[str, int] = {}
    following = 1
    for word in f"{_BASE} {_MIPS if kind == 'mips' else _GENERIC}{_SPECIAL[kind]}".split():
        if word.isdigit():
            following = int(word)
        else:
            table[word] = following
            following += 1
    for alias, name in _ALIASES.items():
        table[alias] = table[name]
    table.setdefault("EDEADLOCK", table["EDEADLK"])
    return MappingProxyType(table)


@cache
def names(kind: ErrnoKind) -> MappingProxyType[int, str]:
    """Return number -> usual name of one numbering."""
    table: dict[int, str] = {}
    for name, number in numbers(kind).items():
        table.setdefault(number, name)
    return MappingProxyType(table)


def to_host(kind: ErrnoKind, errno: int) -> int:
    """Translate a guest error number to the host's; an unknown one stays as it is, as in QEMU."""
    return numbers("generic").get(names(kind).get(errno, ""), errno)


def to_target(kind: ErrnoKind, errno: int) -> int:
    """Translate a host error number to the guest's; an unknown one stays as it is, as in QEMU."""
    return numbers(kind).get(names("generic").get(errno, ""), errno)
