"""QEMU: which one, brought up unseen, and where it keeps a guest's registers."""
