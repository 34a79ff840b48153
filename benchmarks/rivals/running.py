"""Tools started side by side, and what they answered."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivals.environments import DRIVE, environment_of, python_of

OUT, ERRORS = "answer.txt", "errors.txt"
Wrap = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Started:
    """A tool at work."""

    process: subprocess.Popen[bytes]
    folder: Path


def command(tool: str, what: str, options: dict[str, Any]) -> list[str]:
    return [str(python_of(tool)), str(DRIVE), tool, what, json.dumps(options)]


def start(
    tool: str,
    what: str,
    options: dict[str, Any],
    *,
    folder: Path,
    wrap: Wrap | None = None,
    variables: dict[str, str] | None = None,
) -> Started:
    """A tool at work, with a home folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = command(tool, what, {"folder": str(folder), **options})
    environment = {**environment_of(tool, folder), **(variables or {})}
    # Into files, not pipes: what a tool leaves behind would hold a pipe open for as long as it lives.
    with (folder / OUT).open("w") as out, (folder / ERRORS).open("w") as errors:
        process = subprocess.Popen(
            wrap(words) if wrap else words,
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    return Started(process, folder)


def answer(started: Started, patience_s: float) -> dict[str, Any]:
    """What a tool printed last; under `failed`, why there is nothing."""
    try:
        code = started.process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        return {"failed": f"hung for {patience_s:.0f} s"}
    finally:
        end(started)
    for line in reversed((started.folder / OUT).read_text().splitlines()):
        if line.startswith("{"):
            return dict(json.loads(line))
    last = (started.folder / ERRORS).read_text(errors="replace").strip().splitlines()[-1:] or ["no answer"]
    return {"failed": f"exit {code}: {last[0][:80]}"}


def end(started: Started) -> None:
    """End a tool and whatever it started and left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tonne-bench-", ignore_cleanup_errors=True)


def is_short() -> bool:
    """Whether a quick look is asked for: `python benchmarks/measuring_accuracy.py --short`."""
    return "--short" in sys.argv[1:]
