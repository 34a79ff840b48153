"""The id and the folder of the run that a process joins or begins."""

from __future__ import annotations

import os
import sys
import time
import zlib

from tonne.measure import environment, journal, processes, status
from tonne.measure.family import Register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME_LENGTH = 40
UNNAMED = "run"

_TIMES_TRACKED: dict[str, int] = {}  # name -> runs of that name that this process was in, by their launch


def plain(text: str) -> str:
    """A text with nothing in it that a file's name may not have."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text.strip()).strip("-.")


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return plain(name)[:NAME_LENGTH] or UNNAMED


def script_name() -> str:
    """What a run is called that nobody gave a name."""
    return os.path.basename(sys.argv[0] if sys.argv else "").removesuffix(".py") or UNNAMED


def new_id(name: str) -> str:
    """An id that sorts by time and that nobody else has."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{slug(name)}-{os.urandom(3).hex()}"


def launched_ids(name: str, launch: str) -> Callable[[int], str]:
    """By turn, an id that all processes of a launch find by themselves, on whatever node.

    It is of the n-th run of that name in a process. A launch may start programs one after the other, as a shell does in
    `srun --pty bash`, each of which has its turn.
    """
    times = _TIMES_TRACKED[name] = _TIMES_TRACKED.get(name, 0) + 1

    def id_of(turn: int) -> str:
        words = [launch, name, str(times), *([str(turn)] if turn > 1 else [])]
        return f"{slug(name)}-{zlib.crc32('/'.join(words).encode()):08x}"

    return id_of


def file_stamp() -> str:
    """What tells this process's file from those of all other processes of a run."""
    return f"{processes.boot_id()[:8]}-{os.getpid()}-{processes.started():x}"


def chosen_run(name: str, asked: str | None, register: Register) -> tuple[str, str]:
    """Id and folder of the run that this process belongs to.

    Args:
        name: Of the run.
        asked: Folder that the user asked for; it may hold an earlier part of the run.
        register: Of this node.
    """
    given = environment.run_given()
    if given is not None:
        return given
    launch = environment.launch()
    if launch is not None:
        return register.enter_launched(name, asked, launched_ids(name, launch))
    return register.enter(name, asked, _new_run(name, asked))


def _new_run(name: str, asked: str | None) -> tuple[str, str]:
    """The run that a process begins by itself, or goes on with where the folder holds one that did not finish."""
    run = new_id(name)
    if asked is None:
        return run, os.path.join(environment.runs_folder(), run)
    path = os.path.join(asked, journal.FIRST)
    header = journal.first_line(path)
    if header is None:
        return run, asked  # empty, or another process is just beginning
    standing = status.status_of(asked)
    elsewhere = standing == status.RUNNING and header["node"] != processes.boot_id()
    goes_on = header.get("name") == name and (elsewhere or standing not in {status.FINISHED, status.RUNNING})
    return (header["run"], asked) if goes_on else (run, os.path.join(asked, run))
