"""The names of the functions that a rule can call, without starting anything."""

from __future__ import annotations

UNSUPPORTED = {
    "c_do_syscall": "the emulator cannot be made to execute a call of its own",
    "c_g2h": "rules have no host addresses",
    "c_h2g": "rules have no host addresses",
    "c_resolve_host_addr": "rules have no host addresses",
    "c_get_shadowstack": "stock QEMU keeps no shadow stack (the list is empty)",
    "c_wait_user_continue": "decisions are made in the run record, not at a terminal",
    "c_watchdog_suspend": "there is no watchdog inside the emulator",
}
"""SFEmu helpers that keep their shape but only answer -ENOSYS (or nothing), each with the reason."""

_SFEMU = """
c_log c_get_timestamp c_read_string c_read_guest_string c_read_guest_u32 c_read_guest_u64 c_write_guest_u32
c_write_guest_u64 c_read_guest_bytes c_read_bytes c_write_guest_bytes c_write_bytes c_list_regs c_get_reg
c_set_reg c_resolve_addr c_mkdir_p c_open_host c_request_reexec
c_async_probe_http
"""

EXTENSIONS = frozenset(
    (
        "c_provide_file",
        "c_open_bytes",
        "c_open_shared",
        "c_write_shared",
        "c_fd_label",
        "c_fd_path",
        "c_write_field",
        "c_ifreq_name",
        "c_ifreq_set",
        "c_provide_socket",
        "c_real_path",
        "c_remove_path",
        "c_tell_peer",
        "c_connect_peer",
        "c_socket_stub",
        "c_callers",
        "c_called_from",
        "c_set_arg",
        "c_start_program",
        "c_errno",
        "c_module_base",
        "c_guest_info",
        "c_shared_get",
        "c_shared_set",
    )
)
"""Helpers that SFEmu does not have."""

HELPERS = frozenset(_SFEMU.split()) | EXTENSIONS | frozenset(UNSUPPORTED)
"""Every helper that exists in a rule's globals."""
