"""`triage-tui completion`: print what makes a shell complete commands, options, runs, proposals and rules."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")
NAME = "triage-tui"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    parser.epilog = (
        'bash: eval "$(triage-tui completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc, after'
        " compinit; fish: triage-tui completion fish > ~/.config/fish/completions/triage-tui.fish"
    )


def run(args: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode([NAME], shell=args.shell), end="")
    return 0
