"""QEMU's log of system calls, and the guest's own output, read into one history."""
