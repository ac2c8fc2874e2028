"""The messages of CRIU's images that are written and read here: names, numbers and kinds of their fields.

Facts of the image format, https://criu.org/Images; each table line is `number name kind`, `!` marks what must
be there, `*` what may be repeated. Of large messages only the fields that are used are named.
"""

from __future__ import annotations

from triage_tui.guest.checkpoint.wire import Field, Shape

_KINDS = {"u": "unsigned", "i": "int", "z": "zigzag", "o": "bool", "f": "fixed64", "b": "bytes", "t": "text"}


def _shape(text: str) -> Shape:
    """Read "1 name! u, 2 other* message"."""
    fields = {}
    for entry in text.split(","):
        number, name, kind = entry.split()
        fields[name.rstrip("!*")] = Field(
            int(number), _KINDS.get(kind, kind), name.endswith("*"), name.endswith("!")
        )
    return fields


def _numbered(names: list[str], first: int = 1) -> str:
    return ", ".join(f"{first + index} {name}! u" for index, name in enumerate(names))


_ARM = _numbered([*(f"r{i}" for i in range(11)), *["fp", "ip", "sp", "lr", "pc", "cpsr", "orig_r0"]])
_MIPS = _numbered(
    [*(f"r{i}" for i in range(32)), *["lo", "hi", "cp0_epc", "cp0_badvaddr", "cp0_status", "cp0_cause"]]
)
_MIPS_FLOAT = _numbered([*(f"r{i}" for i in range(32)), *["lo", "hi", "fpu_fcr31", "fpu_id"]])
_X86 = _numbered(
    [
        "r15",
        "r14",
        "r13",
        "r12",
        "bp",
        "bx",
        "r11",
        "r10",
        "r9",
        "r8",
        "ax",
        "cx",
        "dx",
        "si",
        "di",
        "orig_ax",
        "ip",
        "cs",
        "flags",
        "sp",
        "ss",
        "fs_base",
        "gs_base",
        "ds",
        "es",
        "fs",
        "gs",
    ]
)
_PPC64 = "1 gpr* u, " + _numbered(["nip", "msr", "orig_gpr3", "ctr", "link", "xer", "ccr", "trap"], 2)

SHAPES: dict[str, Shape] = {
    name: _shape(text)
    for name, text in {
        "inventory_entry": "1 img_version! u, 2 fdinfo_per_id o, 3 root_ids task_kobj_ids_entry, "
        "4 ns_per_id o",
        "pstree_entry": "1 pid! u, 2 ppid! u, 3 pgid! u, 4 sid! u, 5 threads* u",
        "core_entry": "1 mtype! u, 2 thread_info thread_info_x86, 3 tc task_core_entry, "
        "4 ids task_kobj_ids_entry, 5 thread_core thread_core_entry, 6 ti_arm thread_info_arm, "
        "8 ti_aarch64 thread_info_aarch64, 9 ti_ppc64 thread_info_ppc64, 10 ti_s390 thread_info_s390, "
        "11 ti_mips thread_info_mips",
        "task_core_entry": "1 task_state! u, 2 exit_code! u, 3 personality! u, 4 flags! u, 5 blk_sigset! u, "
        "6 comm! t, 15 sigactions* sa_entry",
        "task_kobj_ids_entry": "1 vm_id! u, 2 files_id! u, 3 fs_id! u, 4 sighand_id! u",
        "thread_core_entry": "1 futex_rla! u, 2 futex_rla_len! u, 6 blk_sigset u, 13 comm t",
        "sa_entry": "1 sigaction! u, 2 flags! u, 3 restorer! u, 4 mask! u, 6 mask_extended u",
        "user_arm_regs_entry": _ARM,
        "user_arm_vfpstate_entry": "1 vfp_regs* u, 2 fpscr! u, 3 fpexc! u, 4 fpinst! u, 5 fpinst2! u",
        "thread_info_arm": "1 clear_tid_addr! u, 2 tls! u, 3 gpregs! user_arm_regs_entry, "
        "4 fpstate! user_arm_vfpstate_entry",
        "user_aarch64_regs_entry": "1 regs* u, 2 sp! u, 3 pc! u, 4 pstate! u",
        "user_aarch64_fpsimd_context_entry": "1 vregs* u, 2 fpsr! u, 3 fpcr! u",
        "thread_info_aarch64": "1 clear_tid_addr! u, 2 tls! u, 3 gpregs! user_aarch64_regs_entry, "
        "4 fpsimd! user_aarch64_fpsimd_context_entry",
        "user_mips_regs_entry": _MIPS,
        "user_mips_fpregs_entry": _MIPS_FLOAT,
        "thread_info_mips": "1 clear_tid_addr! u, 2 tls! u, 3 gpregs! user_mips_regs_entry, "
        "4 fpregs! user_mips_fpregs_entry",
        "user_x86_regs_entry": _X86 + ", 28 mode u",
        "user_x86_fpregs_entry": "1 cwd! u, 2 swd! u, 3 twd! u, 4 fop! u, 5 rip! u, 6 rdp! u, 7 mxcsr! u, "
        "8 mxcsr_mask! u, 9 st_space* u, 10 xmm_space* u, 11 padding* u",
        "thread_info_x86": "1 clear_tid_addr! u, 2 gpregs! user_x86_regs_entry, "
        "3 fpregs! user_x86_fpregs_entry",
        "user_ppc64_regs_entry": _PPC64,
        "user_ppc64_fpstate_entry": "1 fpregs* u",
        "thread_info_ppc64": "1 clear_tid_addr! u, 2 gpregs! user_ppc64_regs_entry, "
        "3 fpstate user_ppc64_fpstate_entry",
        "user_s390_regs_entry": "1 psw_mask! u, 2 psw_addr! u, 3 gprs* u, 4 acrs* u, 5 orig_gpr2! u, "
        "6 system_call! u",
        "user_s390_fpregs_entry": "1 fpc! u, 2 fprs* u",
        "thread_info_s390": "1 clear_tid_addr! u, 2 gpregs! user_s390_regs_entry, "
        "3 fpregs! user_s390_fpregs_entry",
        "mm_entry": _numbered(
            [
                *(
                    f"mm_{name}"
                    for name in ["start_code", "end_code", "start_data", "end_data", "start_stack"]
                ),
                *(
                    f"mm_{name}"
                    for name in ["start_brk", "brk", "arg_start", "arg_end", "env_start", "env_end"]
                ),
                "exe_file_id",
            ]
        )
        + ", 13 mm_saved_auxv* u, 14 vmas* vma_entry",
        "vma_entry": "1 start! u, 2 end! u, 3 pgoff! u, 4 shmid! u, 5 prot! u, 6 flags! u, 7 status! u, "
        "8 fd! z",
        "pagemap_head": "1 pages_id! u",
        "pagemap_entry": "1 vaddr! u, 2 nr_pages! u, 3 in_parent o, 4 flags u",
        "fs_entry": "1 cwd_id! u, 2 root_id! u, 3 umask u",
        "fdinfo_entry": "1 id! u, 2 flags! u, 3 type! u, 4 fd! u",
        "file_lock_entry": "1 flag! u, 2 type! u, 3 pid! i, 4 fd! i, 5 start! i, 6 len! i",
        "fown_entry": "1 uid! u, 2 euid! u, 3 signum! u, 4 pid_type! u, 5 pid! u",
        "file_entry": "1 type! u, 2 id! u, 3 reg reg_file_entry, 4 isk inet_sk_entry, "
        "8 efd eventfd_file_entry, 9 epfd eventpoll_file_entry, 10 sgfd signalfd_entry, "
        "12 tfd timerfd_entry, 13 ify inotify_file_entry, 16 usk unix_sk_entry, 18 pipe pipe_entry",
        "eventfd_file_entry": "1 id! u, 2 flags! u, 3 fown! fown_entry, 4 counter! u",
        "eventpoll_file_entry": "1 id! u, 2 flags! u, 3 fown! fown_entry, 4 tfd* eventpoll_tfd_entry",
        "eventpoll_tfd_entry": "1 id! u, 2 tfd! u, 3 events! u, 4 data! u",
        "signalfd_entry": "1 id! u, 2 flags! u, 3 fown! fown_entry, 4 sigmask! u",
        "timerfd_entry": "1 id! u, 2 flags! u, 3 fown! fown_entry, 4 clockid! u, 5 ticks! u, "
        "6 settime_flags! u, 7 vsec! u, 8 vnsec! u, 9 isec! u, 10 insec! u",
        "inotify_file_entry": "1 id! u, 2 flags! u, 4 fown! fown_entry, 5 wd* inotify_wd_entry",
        "inotify_wd_entry": "1 id! u, 2 i_ino! u, 3 mask! u, 4 ignored_mask! u, 5 s_dev! u, 6 wd! u, "
        "7 f_handle! fh_entry",
        "fh_entry": "1 bytes! u, 2 type! u, 3 handle* u, 4 path t",
        "sk_packet_entry": "1 id_for! u, 2 length! u",
        "reg_file_entry": "1 id! u, 2 flags! u, 3 pos! u, 5 fown! fown_entry, 6 name! t, 7 mnt_id z, "
        "8 size u, 10 mode u",
        "pipe_entry": "1 id! u, 2 pipe_id! u, 3 flags! u, 4 fown! fown_entry",
        "pipe_data_entry": "1 pipe_id! u, 2 bytes! u, 3 size u",
        "inet_sk_entry": "1 id! u, 2 ino! u, 3 family! u, 4 type! u, 5 proto! u, 6 state! u, 7 src_port! u, "
        "8 dst_port! u, 9 flags! u, 10 backlog! u, 11 src_addr* u, 12 dst_addr* u, 13 fown! fown_entry, "
        "14 opts! sk_opts_entry, 15 v6only o",
        "unix_sk_entry": "1 id! u, 2 ino! u, 3 type! u, 4 state! u, 5 flags! u, 6 uflags! u, 7 backlog! u, "
        "8 peer! u, 9 fown! fown_entry, 10 opts! sk_opts_entry, 11 name! b, 13 file_perms file_perms_entry",
        "file_perms_entry": "1 mode! u, 2 uid! u, 3 gid! u",
        "sk_opts_entry": "1 so_sndbuf! u, 2 so_rcvbuf! u, 3 so_snd_tmo_sec! u, 4 so_snd_tmo_usec! u, "
        "5 so_rcv_tmo_sec! u, 6 so_rcv_tmo_usec! u, 7 reuseaddr o",
    }.items()
}

X86_64, ARM, AARCH64, PPC64, S390, MIPS = 1, 2, 3, 4, 5, 6
"""`mtype` of a core image; 0 is an architecture for which CRIU has none."""
REG, PIPE, INETSK, UNIXSK, EVENTFD, EVENTPOLL, INOTIFY, SIGNALFD, TIMERFD = 1, 2, 4, 5, 6, 7, 8, 9, 17
"""Types of files."""
TASK_ALIVE = 1
AREA_REGULAR, AREA_STACK, AREA_VDSO, AREA_HEAP = 1, 2, 8, 32
FILE_PRIVATE, FILE_SHARED, ANONYMOUS_SHARED, ANONYMOUS_PRIVATE = 64, 128, 256, 512
"""Bits of the status of a vma_entry."""
PAGE_PRESENT = 4
"""Bit of the flags of a pagemap_entry: its pages are in the pages image."""
