"""Triage bench for firmware programs that exit or spin under QEMU user mode.

Importing this package loads nothing else: start-up time is a feature.
"""

__version__ = "0.1.0"
