"""Rivals, each in an environment of its own, made on first use under RIVALS (left out: the user's cache).

RIVALS=/scratch/rivals make bench
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(os.environ.get("RIVALS") or Path.home() / ".cache" / "tonne" / "rivals")
PACKAGES = {  # the versions that were tried; eco2ai's stop() raises with pandas 3
    "codecarbon": ["codecarbon==3.3.2"],
    "carbontracker": ["carbontracker==2.4.7"],
    "zeus": ["zeus==0.16.0"],
    "pyjoules": ["pyJoules==0.5.1"],
    "eco2ai": ["eco2ai==0.3.12", "pandas<3"],
}
ROOT = Path(__file__).resolve().parents[2]
DRIVE = Path(__file__).with_name("drive.py")


@cache
def python_of(tool: str) -> str | None:
    """The Python that has a tool; None, and a line, where it cannot be installed."""
    if tool == "tonne":
        return sys.executable
    folder = FOLDER / tool
    python = folder / "bin" / "python"
    if (folder / ".made").exists():
        return str(python)
    print(f"   installing {tool} into {folder}", file=sys.stderr)
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES[tool]]
    done = made if made.returncode else subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"   {tool} is left out: {(done.stderr or done.stdout).strip()[-300:]}", file=sys.stderr)
        return None
    (folder / ".made").touch()
    return str(python)


def tools(*names: str) -> list[str]:
    """Those of some tools that are there, ours first."""
    return [name for name in ("tonne", *(names or PACKAGES)) if python_of(name) is not None]


def environment_of(tool: str, folder: Path) -> dict[str, str]:
    """Environment variables of a tool's process, with a home of its own."""
    # Whoever installs a package has it compiled: ours, which lies in a source tree, is compiled when it is first used.
    left_out = ("TONNE_", "CODECARBON_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    found = {**kept, "HOME": str(folder), "TONNE_HOME": str(folder / "tonne"), "TONNE_RUNTIME": str(folder / "locks")}
    return {**found, "PYTHONPATH": str(ROOT / "src")} if tool == "tonne" else found
