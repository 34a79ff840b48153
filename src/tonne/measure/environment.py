"""The environment variables of the meter, all of them: TONNE_*, and what launchers say of a job.

No rank's number is read anywhere: who shares a node is found by the process tree, see family.py.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from tonne.measure.roots import Roots as Roots

RUN, FOLDER, HOME, RUNTIME = "TONNE_RUN", "TONNE_RUN_FOLDER", "TONNE_HOME", "TONNE_RUNTIME"
LEDGER, PROJECT, PURPOSE, TAGS = "TONNE_LEDGER", "TONNE_PROJECT", "TONNE_PURPOSE", "TONNE_TAGS"
OFF = "off"  # of the ledger
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
# One launch of a job, the same on all of its nodes and of no other launch; torchrun has none that is always unique.
LAUNCHES = (("SLURM_JOB_ID", "SLURM_STEP_ID"), ("PMIX_NAMESPACE",), ("OMPI_MCA_ess_base_jobid",), ("PMI_JOBID",))
# A process with one of these is a rank; what they have in common is where they meet. Which rank it is is read nowhere.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
MEETING = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "SLURM_JOB_ID", "SLURM_STEP_ID")

_HOMES: dict[str, str] = {}  # by what was given, where that was when it was first asked for
VARIABLE_OF = {
    "powercap": "TONNE_POWERCAP_ROOT",
    "hwmon": "TONNE_HWMON_ROOT",
    "proc": "TONNE_PROC_ROOT",
    "sys": "TONNE_SYS_ROOT",
    "meters": "TONNE_METERS",
    "powermetrics": "TONNE_POWERMETRICS",
}


def __getattr__(name: str) -> object:
    """Where the kernel shows its sensors: a class of roots.py, loaded only where sensors are opened."""
    if name != "Roots":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tonne.measure.roots import Roots  # noqa: PLC0415 - dataclasses and pathlib cost 15 ms

    return Roots


def roots_from_environment(environment: Mapping[str, str] | None = None) -> Roots:
    """The kernel's own places, but for those that the environment names."""
    from tonne.measure.roots import roots_at  # noqa: PLC0415 - as above

    told = os.environ if environment is None else environment
    return roots_at({field: told[name] for field, name in VARIABLE_OF.items() if told.get(name)})


def home() -> str:
    """Folder of tonne's own files: TONNE_HOME, else the platform's folder for a user's data."""
    given = os.environ.get(HOME)
    if given:
        return _HOMES.setdefault(given, absolute(given))
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/tonne")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA") or os.path.expanduser("~"), "tonne")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "tonne")


def absolute(path: str) -> str:
    """A path that stays what it is when the program changes its folder."""
    try:
        return os.path.abspath(path)
    except OSError:
        return path  # the folder that it is in is gone


def ledger() -> str | None:
    """Where the ledger is, as TONNE_LEDGER says: an address, or "off"; None where it says nothing."""
    return os.environ.get(LEDGER) or None


def labels() -> tuple[str | None, str | None, tuple[str, ...]]:
    """Project, purpose and tags of the runs of this process, as TONNE_PROJECT, TONNE_PURPOSE and TONNE_TAGS say."""
    tags = tuple(tag.strip() for tag in os.environ.get(TAGS, "").split(",") if tag.strip())
    return os.environ.get(PROJECT) or None, os.environ.get(PURPOSE) or None, tags


def runs_folder() -> str:
    """Folder below which each run has its own."""
    return os.path.join(home(), "runs")


def is_below_home(folder: str) -> bool:
    """Whether a run's folder lies where runs are looked for, so that nobody need be told of it."""
    return os.path.dirname(os.path.abspath(folder)) == os.path.abspath(runs_folder())


def runtime_folder() -> str:
    """Folder of this node and user, where locks lie; not shared between nodes."""
    given = os.environ.get(RUNTIME)
    user = os.getuid() if hasattr(os, "getuid") else 0
    return given or os.path.join(os.environ.get("TMPDIR") or "/tmp", f"tonne-{user}")


def run_given() -> tuple[str, str] | None:
    """Id and folder of the run that this process belongs to, where `tonne run` or the user says so."""
    run = os.environ.get(RUN)
    return None if not run else (run, absolute(os.environ.get(FOLDER) or os.path.join(runs_folder(), run)))


def launch() -> str | None:
    """The launch of a job that this process is of, the same on all of its nodes; None where no launcher says."""
    for names in LAUNCHES:
        values = [os.environ.get(name) for name in names]
        if all(values):
            return ":".join(str(value) for value in values)
    return None


def launcher() -> str | None:
    """What ranks of one launch on this node have in common, as torchrun and its like say it; None without a rank."""
    if not any(os.environ.get(name) for name in RANKS):
        return None
    return ":".join(os.environ.get(name, "") for name in MEETING)


def visible_devices(variables: Mapping[str, str] | None = None) -> str | None:
    """Accelerators that a process may use, as the first of its variables says; None where none is set.

    Args:
        variables: Of the process; left out, of this one.
    """
    return next(iter(visible_variables(variables).values()), None)


def visible_variables(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a process that say which accelerators it may use, by their names, as far as they are set.

    Args:
        variables: Of the process; left out, of this one.
    """
    told = os.environ if variables is None else variables
    return {name: told[name] for name in VISIBLE if name in told}
