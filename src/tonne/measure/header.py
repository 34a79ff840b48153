"""The first line of each process's file: which run, which process, on what node, and what it may use of it."""

from __future__ import annotations

import os
import sys
import time

from tonne import __version__
from tonne.measure import environment, groups, identity, processes
from tonne.measure.family import myself
from tonne.measure.windows import CALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tonne.measure.meter import Meter

SCHEMA = 1


def header(meter: Meter) -> dict[str, Any]:
    """The line, as built-in types. Neither the machine's name nor the command's arguments are in it."""
    site, group = _fields_of(meter.site), groups.group_of(meter.watched_pid)
    variables = processes.environment_of(meter.watched_pid)
    project, purpose, tags = environment.labels()
    return {
        "kind": "run",
        "schema": SCHEMA,
        "tonne": __version__,
        "run": meter.run_id,
        "name": meter.name,
        "role": meter.role,
        "site": site if isinstance(site, str | dict) else None,
        "project": meter.project or project,
        "purpose": meter.purpose or purpose,
        "tags": [*dict.fromkeys([*meter.tags, *tags])],
        "hourly": meter.hourly,
        "interval_s": meter.interval_s,
        "t": time.monotonic_ns(),
        "unix_s": time.time(),
        "node": processes.boot_id(),
        "process": myself(),
        "stamp": identity.file_stamp(),
        "cpus": os.cpu_count(),
        "cpus_allowed": processes.cpus_allowed(meter.watched_pid),
        "cpu_list": processes.cpu_list(meter.watched_pid),
        "group": None if group is None else group.as_dict(),
        "devices": environment.visible_devices(variables),
        "visible": environment.visible_variables(variables),
        "python": sys.version.partition(" ")[0],
        "platform": sys.platform,
        "calls": meter.is_decorator and meter.calls_window == CALLS,
    }


def _fields_of(site: Any) -> Any:  # noqa: ANN401 - whatever the user gave
    """The site as built-in types; of a file what is in it, as the file may be another one later."""
    dumped = getattr(site, "model_dump", None)
    if dumped is not None:
        return dumped(mode="json", exclude_none=True)
    if isinstance(site, str | os.PathLike) and os.path.isfile(site):
        from tonne.errors import PlanFileError  # noqa: PLC0415 - only where there is a file
        from tonne.measure.sites import fields_in  # noqa: PLC0415 - as above

        try:
            return fields_in(os.fspath(site))
        except PlanFileError:
            return os.path.abspath(site)  # the account will say what is wrong with it
    return site
