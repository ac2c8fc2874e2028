"""The architecture tables against the kernel's own definitions and against themselves."""

import errno
import itertools
import sys

import pytest

from triage_tui.errors import TriageError
from triage_tui.guest import arch
from triage_tui.guest.arch import generate, syscalls, tables
from triage_tui.runs import errnos


def test_every_elf_header_finds_its_emulator() -> None:
    found = {
        (machine, bits, little): arch.for_elf(machine, bits, little)
        for machine in (3, 8, 20, 21, 22, 40, 62, 183, 243)
        for bits in (32, 64)
        for little in (True, False)
    }
    names = {key: value.name for key, value in found.items() if value}
    assert names == {
        (3, 32, True): "i386",
        (8, 32, False): "mips",
        (8, 32, True): "mipsel",
        (8, 64, True): "mips64el",
        (20, 32, False): "ppc",
        (21, 64, True): "ppc64le",
        (22, 64, False): "s390x",
        (40, 32, False): "armeb",
        (40, 32, True): "arm",
        (62, 64, True): "x86_64",
        (183, 64, True): "aarch64",
        (243, 64, True): "riscv64",
    }


def test_n32_programs_are_not_taken_for_o32() -> None:
    assert arch.for_elf(8, 32, True, 0x20) is None


def test_be8_programs_have_little_endian_instructions() -> None:
    be8 = arch.for_elf(40, 32, False, 0x00800000)
    assert be8 is not None
    assert (be8.endian, be8.instruction_endian) == ("big", "little")


def test_unknown_name_is_one_sentence() -> None:
    with pytest.raises(TriageError, match="unknown architecture 'vax': known are arm"):
        arch.by_name("vax")


@pytest.mark.parametrize("entry", tables.ALL, ids=lambda entry: entry.name)
def test_entry_is_consistent(entry: arch.Arch) -> None:
    names = [spec.name for spec in entry.registers]
    assert len(set(names)) == len(names)
    assert len({spec.num for spec in entry.registers}) == len(names)
    used = [entry.pc, entry.sp, entry.syscall_number, entry.syscall_return, *entry.syscall_args]
    used += [name for name in (entry.lr, entry.fp) if name]
    assert set(used) <= set(names)
    assert set(entry.env_registers) <= set(names)
    ends = [(spec.offset, spec.offset + spec.size) for spec in entry.registers]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    for name in ("openat", "exit_group", "connect", "ioctl"):
        number = entry.syscall_nr(name)
        assert number is not None
        assert entry.syscall_name(number) == name


@pytest.mark.parametrize(
    ("name", "size"),
    [("arm", 68), ("aarch64", 268), ("mips", 38 * 4), ("riscv64", 264), ("ppc", 152), ("ppc64le", 296)],
)
def test_g_packet_layout(name: str, size: int) -> None:
    entry = arch.by_name(name)
    assert entry.g_size == size
    data = b"".join(spec.num.to_bytes(spec.size, entry.endian) for spec in entry.registers)
    assert entry.registers_from_g(data) == {spec.name: spec.num for spec in entry.registers}


def test_short_g_packet_gives_the_registers_it_holds() -> None:
    assert set(arch.by_name("arm").registers_from_g(bytes(9))) == {"r0", "r1"}


def test_env_is_decoded_in_host_order_whatever_the_guest_is() -> None:
    mips = arch.by_name("mips")
    words = [*range(100, 132), 0x400100]
    data = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    registers = mips.registers_from_env(data)
    assert (registers["v0"], registers["sp"], registers["pc"]) == (102, 129, 0x400100)
    assert "hi" not in registers
    assert mips.env_offset("sp") == 29 * 4
    assert mips.env_offset("no such register") is None


def test_env_order_of_x86_is_not_that_of_gdb() -> None:
    entry = arch.by_name("x86_64")
    assert entry.env_offset("rdx") == 16
    assert entry.register("rdx").num == 3


def test_syscall_numbers_are_those_of_the_kernel() -> None:
    arm = arch.by_name("arm")
    assert [arm.syscall_name(n) for n in (5, 192, 283, 0xF0002, 0xF0005)] == [
        "open",
        "mmap2",
        "connect",
        "cacheflush",
        "set_tls",
    ]
    assert arch.by_name("mipsel").syscall_name(4170) == "connect"
    assert arch.by_name("aarch64").syscall_name(203) == "connect"
    assert arm.syscall_name(99999) is None


def test_syscall_data_file_is_what_the_generator_writes() -> None:
    assert generate.OUTPUT.read_text(encoding="utf-8") == generate.render()
    assert set(generate.TABLES) >= {entry.syscall_table for entry in tables.ALL}
    assert len(syscalls.names("mipso32")) == len(syscalls.numbers("mipso32"))


def test_results_follow_the_error_convention() -> None:
    arm, mips, ppc = arch.by_name("arm"), arch.by_name("mips"), arch.by_name("ppc")
    assert arm.syscall_result({"r0": 0xFFFFFFFE}) == -2
    assert arm.syscall_result({"r0": 0xF6FFF000}) == 0xF6FFF000
    assert mips.syscall_result({"v0": 146, "a3": 1}) == -146
    assert mips.syscall_result({"v0": 146, "a3": 0}) == 146
    assert ppc.syscall_result({"r3": 2, "cr": 0x10000000}) == -2


def test_mips_errors_have_their_own_numbers() -> None:
    mips = arch.by_name("mipsel")
    expected = {
        "ENOENT": 2,
        "EDEADLK": 45,
        "ENOSYS": 89,
        "ENOTEMPTY": 93,
        "ENOPROTOOPT": 99,
        "EPROTONOSUPPORT": 120,
        "EAFNOSUPPORT": 124,
        "EADDRNOTAVAIL": 126,
        "ENOBUFS": 132,
        "EUCLEAN": 135,
        "ENOTNAM": 137,
        "ECONNREFUSED": 146,
        "ESTALE": 151,
        "ECANCELED": 158,
        "EHWPOISON": 168,
        "EDQUOT": 1133,
    }
    assert {name: mips.errno_number(name) for name in expected} == expected
    assert mips.errno_name(-146) == "ECONNREFUSED"
    assert mips.to_host(146) == 111
    assert mips.to_target(errno.ECONNREFUSED) == 146
    assert mips.errno_number("EWOULDBLOCK") == 11
    assert arch.by_name("ppc").errno_number("EDEADLOCK") == 58


def test_generic_errors_are_those_of_the_host() -> None:
    table = errnos.numbers("generic")
    known = {name: number for number, name in errno.errorcode.items()}
    assert {name: table[name] for name in known} == known


@pytest.mark.parametrize("kind", ["generic", "mips", "powerpc"])
def test_every_error_survives_the_way_to_the_host_and_back(kind: errnos.ErrnoKind) -> None:
    both = set(errnos.names(kind).values()) & set(errnos.names("generic").values())
    assert len(both) >= 131
    for name in both:
        number = errnos.numbers(kind)[name]
        assert errnos.to_target(kind, errnos.to_host(kind, number)) == number
