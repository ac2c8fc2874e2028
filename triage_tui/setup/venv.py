"""`python -m triage_tui.setup.venv DIRECTORY`: make a virtual environment with pip, whatever the host lacks.

Debian and Ubuntu split `ensurepip` off into python3-venv. Where it is missing, pip comes from the
distribution's package python3-pip-whl, fetched like QEMU into the user's cache: no root needed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.setup.cache import Progress, exclusive, quiet, staging
from triage_tui.setup.sources import fetch, unpack

_PIP_PACKAGE = "python3-pip-whl"


def ensure_venv(directory: Path, progress: Progress = quiet) -> None:
    """Make `directory` a virtual environment of this Python with a working pip, unless it is one already.

    A half-made one is made anew.

    Raises:
        TriageError: there is no way to get one; the sentence says what to install.
    """
    python = directory / "bin" / "python"
    if _has_pip(python):
        return
    progress(f"making a virtual environment in {directory}")
    try:
        import venv

        venv.create(directory, clear=True, symlinks=True)
    except ImportError:
        raise TriageError(
            f"{sys.executable} cannot make a virtual environment: install the package python3-venv."
        ) from None
    except OSError as error:
        raise TriageError(
            f"Cannot make a virtual environment in {directory} ({error.strerror}): is the place writable?"
        ) from error
    subprocess.run([python, "-m", "ensurepip", "--upgrade"], capture_output=True, check=False)
    if not _has_pip(python):
        _install_packaged_pip(python, progress)


def _has_pip(python: Path) -> bool:
    try:
        result = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return result.returncode == 0


def _install_packaged_pip(python: Path, progress: Progress) -> None:
    """Install pip from the distribution's wheel of it."""
    progress("this Python has no ensurepip: taking pip from the distribution")
    try:
        with exclusive(progress) as cache, staging(cache) as work:
            [package] = fetch([_PIP_PACKAGE], cache, work, progress).values()
            unpack(package, work / "tree")
            [wheel] = (work / "tree").glob("usr/share/python-wheels/pip-*.whl")
            # A wheel of pip can be run as it is; this is what ensurepip does too. What of it is used is
            # compiled then.
            result = subprocess.run(
                [python, wheel / "pip", "install", "--quiet", "--no-index", "--no-compile", wheel],
                capture_output=True,
                text=True,
                check=False,
            )
    except (TriageError, ValueError) as error:
        raise TriageError(
            "This Python comes without pip and ensurepip, and the distribution's pip could not be fetched: "
            "install the package python3-venv."
        ) from error
    if result.returncode != 0:
        raise TriageError(
            "This Python comes without ensurepip, and pip did not install otherwise "
            f"({' '.join(result.stderr.split())[-200:]}): install the package python3-venv."
        )


def main() -> int:
    """Make the environment that the command line names; returns the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m triage_tui.setup.venv DIRECTORY", file=sys.stderr)
        return 2
    try:
        ensure_venv(Path(sys.argv[1]).absolute(), lambda line: print(f"setup: {line}", flush=True))
    except TriageError as error:
        print(f"triage-tui setup: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("triage-tui setup: interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
