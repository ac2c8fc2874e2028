"""The architectures, one entry each.

Register numbers and order are those of QEMU's gdb stub (gdb-xml/*.xml; MIPS has no feature file, its order is
in target/mips/gdbstub.c). Offsets inside CPUArchState were measured with QEMU 7.2 and 10.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from triage_tui.guest.arch.model import Arch, EnvComposed, EnvField, EnvPart, RegisterSpec

EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390 = 3, 8, 20, 21, 22
EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 40, 62, 183, 243
"""e_machine values (ELF specification, elf.h)."""


def _names(text: str) -> tuple[str, ...]:
    """Return the words of `text`."""
    return tuple(text.split())


def _row(names: Iterable[str], size: int, num: int = 0, offset: int = 0) -> tuple[RegisterSpec, ...]:
    """Return consecutive registers of one size."""
    return tuple(RegisterSpec(name, num + i, size, offset + i * size) for i, name in enumerate(names))


def _arm_flags(at: int) -> tuple[EnvPart, ...]:
    """Return C, V, N and Z of CPUARMState, four words that begin at `at`."""
    return (
        EnvPart(at, 4, 29),
        EnvPart(at + 4, 4, 28, low=31),
        EnvPart(at + 8, 4, 31, low=31),
        EnvPart(at + 12, 4, 30, is_zero=True),
    )


def _ppc_flags(crf: int, word: int) -> tuple[EnvComposed, ...]:
    """Return cr and xer of CPUPPCState; `crf` is where the eight fields of cr begin."""
    fields = tuple(EnvPart(crf + 4 * i, 4, 28 - 4 * i, 4) for i in range(8))
    # cfar (64-bit processors only), xer, so, ov, ca.
    xer = crf + 32 + (word if word == 8 else 0)
    flags = tuple(EnvPart(xer + word * i, word, 32 - i) for i in range(1, 4))
    return (EnvComposed("cr", 4, fields), EnvComposed("xer", 4, (EnvPart(xer, word, 0, 29), *flags)))


def _x86_segments(at: int, word: int) -> tuple[EnvField, ...]:
    """Return the segment registers of CPUX86State, whose array begins at `at`, and the bases of fs and gs.

    An entry is a SegmentCache: selector (32 bits), base (a word), limit and flags (32 bits each).
    """
    size = 16 if word == 4 else 24
    selectors = [
        EnvField(name, at + size * i, 4) for i, name in enumerate(("es", "cs", "ss", "ds", "fs", "gs"))
    ]
    bases = [EnvField(f"{name}_base", at + size * i + word, word) for i, name in ((4, "fs"), (5, "gs"))]
    return (*selectors, *bases)


_ARM_NAMES = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")

ARM = Arch(
    name="arm",
    word=4,
    endian="little",
    elf_machine=EM_ARM,
    registers=(*_row(_ARM_NAMES, 4), RegisterSpec("cpsr", 25, 4, 64)),
    env_registers=_ARM_NAMES,
    env_pc_offsets=(60,),
    # CPUARMState: bool thumb, uncached_cpsr, then CF, VF, NF, ZF, QF, GE, condexec_bits and daif.
    env_composed=(
        EnvComposed(
            "cpsr",
            4,
            (
                *_arm_flags(520),
                EnvPart(536, 4, 27),
                EnvPart(540, 4, 16, 4),
                # The bits of the IT state lie in two places.
                EnvPart(544, 4, 25, 2),
                EnvPart(544, 4, 10, 6, low=2),
                EnvPart(552, 8, 6, 3, low=6),
                EnvPart(333, 1, 5),
                EnvPart(344, 4, 9, low=9),
                EnvPart(344, 4, 0, 5),
            ),
        ),
    ),
    pc="pc",
    sp="sp",
    lr="lr",
    syscall_number="r7",
    syscall_args=("r0", "r1", "r2", "r3", "r4", "r5", "r6"),
    syscall_return="r0",
    syscall_table="arm",
    code_align=2,
)
ARMEB = replace(ARM, name="armeb", endian="big")

_AARCH64_NAMES = (*(f"x{i}" for i in range(31)), "sp")

AARCH64 = Arch(
    name="aarch64",
    word=8,
    endian="little",
    elf_machine=EM_AARCH64,
    registers=(*_row((*_AARCH64_NAMES, "pc"), 8), RegisterSpec("cpsr", 33, 4, 264)),
    env_registers=_AARCH64_NAMES,
    env_pc_offsets=(256,),
    env_composed=(
        EnvComposed("cpsr", 4, (*_arm_flags(464), EnvPart(492, 4, 10, 2), EnvPart(496, 8, 6, 4, low=6))),
    ),
    pc="pc",
    sp="sp",
    lr="x30",
    fp="x29",
    syscall_number="x8",
    syscall_args=("x0", "x1", "x2", "x3", "x4", "x5"),
    syscall_return="x0",
    syscall_table="arm64",
)

# o32 names of the MIPS psABI; s8 is the frame pointer where a function uses one.
_MIPS_NAMES = _names(
    "zero at v0 v1 a0 a1 a2 a3 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp s8 ra"
)

MIPS = Arch(
    name="mips",
    word=4,
    endian="big",
    elf_machine=EM_MIPS,
    registers=_row((*_MIPS_NAMES, "sr", "lo", "hi", "bad", "cause", "pc"), 4),
    env_registers=_MIPS_NAMES,
    env_pc_offsets=(128,),
    # TCState: gpr[32], PC, HI[4], LO[4].
    env_extra=(EnvField("hi", 132, 4), EnvField("lo", 148, 4)),
    pc="pc",
    sp="sp",
    lr="ra",
    syscall_number="v0",
    syscall_args=("a0", "a1", "a2", "a3"),
    syscall_return="v0",
    syscall_table="mipso32",
    stack_args=(4, 16),
    # a3 is 0 or 1 after a syscall.
    error_flag=("a3", 0xFFFFFFFF),
    errno_kind="mips",
)
MIPSEL = replace(MIPS, name="mipsel", endian="little")

# The n64 ABI has eight argument registers, so that a4..a7 and t0..t3 are where o32 has t0..t7.
_MIPS64_NAMES = _names(
    "zero at v0 v1 a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp s8 ra"
)

MIPS64EL = Arch(
    name="mips64el",
    word=8,
    endian="little",
    elf_machine=EM_MIPS,
    registers=_row((*_MIPS64_NAMES, "sr", "lo", "hi", "bad", "cause", "pc"), 8),
    env_registers=_MIPS64_NAMES,
    # gpr[32] is followed by the upper halves of the 128-bit multimedia registers, gpr_hi[32].
    env_pc_offsets=(512,),
    env_extra=(EnvField("hi", 520, 8), EnvField("lo", 552, 8)),
    pc="pc",
    sp="sp",
    lr="ra",
    syscall_number="v0",
    syscall_args=("a0", "a1", "a2", "a3", "a4", "a5"),
    syscall_return="v0",
    syscall_table="mips64",
    error_flag=("a3", 0xFFFFFFFF),
    errno_kind="mips",
)

_X86_64_NAMES = _names("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip")
_X86_SEGMENTS = ("eflags", "cs", "ss", "ds", "es", "fs", "gs")

X86_64 = Arch(
    name="x86_64",
    word=8,
    endian="little",
    elf_machine=EM_X86_64,
    registers=(*_row(_X86_64_NAMES, 8), *_row(_X86_SEGMENTS, 4, num=17, offset=136)),
    env_registers=_names("rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15"),
    env_pc_offsets=(128,),
    env_extra=(EnvField("eflags", 136, 4), *_x86_segments(184, 8)),
    pc="rip",
    sp="rsp",
    lr=None,
    syscall_number="rax",
    syscall_args=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    syscall_return="rax",
    syscall_table="x86_64",
    code_align=1,
)

_I386_NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")

I386 = Arch(
    name="i386",
    word=4,
    endian="little",
    elf_machine=EM_386,
    registers=_row((*_I386_NAMES, "eip", *_X86_SEGMENTS), 4),
    env_registers=_I386_NAMES,
    env_pc_offsets=(32,),
    env_extra=(EnvField("eflags", 36, 4), *_x86_segments(68, 4)),
    pc="eip",
    sp="esp",
    lr=None,
    syscall_number="eax",
    syscall_args=("ebx", "ecx", "edx", "esi", "edi", "ebp"),
    syscall_return="eax",
    syscall_table="i386",
    code_align=1,
)

# Names of the RISC-V psABI.
_RISCV_NAMES = _names(
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
)

RISCV64 = Arch(
    name="riscv64",
    word=8,
    endian="little",
    elf_machine=EM_RISCV,
    registers=_row((*_RISCV_NAMES, "pc"), 8),
    env_registers=_RISCV_NAMES,
    env_pc_offsets=(4912, 4656),
    pc="pc",
    sp="sp",
    lr="ra",
    syscall_number="a7",
    syscall_args=("a0", "a1", "a2", "a3", "a4", "a5"),
    syscall_return="a0",
    syscall_table="riscv64",
    code_align=2,
)

_PPC_NAMES = tuple(f"r{i}" for i in range(32))

PPC = Arch(
    name="ppc",
    word=4,
    endian="big",
    elf_machine=EM_PPC,
    # The general registers are followed by the special ones in `g`; their numbers leave room for 32 FPRs.
    registers=(*_row(_PPC_NAMES, 4), *_row(("pc", "msr", "cr", "lr", "ctr", "xer"), 4, num=64, offset=128)),
    env_registers=_PPC_NAMES,
    env_pc_offsets=(352,),
    # CPUPPCState: gpr[32], gprh[32], lr, ctr, crf[8].
    env_extra=(EnvField("lr", 256, 4), EnvField("ctr", 260, 4)),
    env_composed=_ppc_flags(264, 4),
    pc="pc",
    sp="r1",
    lr="lr",
    syscall_number="r0",
    syscall_args=("r3", "r4", "r5", "r6", "r7", "r8"),
    syscall_return="r3",
    syscall_table="powerpc",
    # CR0.SO.
    error_flag=("cr", 0x10000000),
    errno_kind="powerpc",
)

PPC64LE = Arch(
    name="ppc64le",
    word=8,
    endian="little",
    elf_machine=EM_PPC64,
    registers=(
        *_row((*_PPC_NAMES, "pc", "msr"), 8),
        RegisterSpec("cr", 66, 4, 272),
        *_row(("lr", "ctr"), 8, num=67, offset=276),
        RegisterSpec("xer", 69, 4, 292),
    ),
    env_registers=_PPC_NAMES,
    env_pc_offsets=(680, 688),
    env_extra=(EnvField("lr", 512, 8), EnvField("ctr", 520, 8)),
    env_composed=_ppc_flags(528, 8),
    pc="pc",
    sp="r1",
    lr="lr",
    syscall_number="r0",
    syscall_args=("r3", "r4", "r5", "r6", "r7", "r8"),
    syscall_return="r3",
    syscall_table="powerpc64",
    error_flag=("cr", 0x10000000),
    errno_kind="powerpc",
)

_S390_NAMES = tuple(f"r{i}" for i in range(16))

S390X = Arch(
    name="s390x",
    word=8,
    endian="big",
    elf_machine=EM_S390,
    # The program status word comes first: its mask, then the address.
    registers=_row(("pswm", "pc", *_S390_NAMES), 8),
    env_registers=_S390_NAMES,
    env_pc_offsets=(800,),
    # int_svc_code.
    env_extra=(EnvField("svc", 880, 4),),
    syscall_immediate="svc",
    pc="pc",
    sp="r15",
    lr="r14",
    syscall_number="r1",
    syscall_args=("r2", "r3", "r4", "r5", "r6", "r7"),
    syscall_return="r2",
    syscall_table="s390x",
    code_align=2,
)

ALL: tuple[Arch, ...] = (
    *(ARM, ARMEB, AARCH64, MIPS, MIPSEL, MIPS64EL),
    *(X86_64, I386, RISCV64, PPC, PPC64LE, S390X),
)
"""Every architecture; the ones with `unwinds` are fully supported."""
