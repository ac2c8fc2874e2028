"""SFEmu, a fork of QEMU user mode with Lua rules: its runs, its rules and its waiting prompt."""
