"""Checkpoints of a frozen guest: taking one as CRIU-format images, and going on from one in a new QEMU."""
