"""`tonne runs`, `tonne runs show` and `tonne recover`: the runs that were measured on this machine."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain
from tonne.measure.accounting import account_of
from tonne.measure.progress import expected
from tonne.measure.recover import Listed, known_runs, recover, run_named
from tonne.measure.replay import measured
from tonne.measure.status import INTERRUPTED
from tonne.report.measured_text import list_lines, run_lines


def show_all(folder: str | None, *, as_json: bool = False) -> None:
    """Print the runs that are known."""
    runs = known_runs(folder)
    if as_json:
        _print({"runs": [_fields(run) for run in runs]})
    elif runs:
        print("\n".join(list_lines(runs)))
        cut = sum(run.status == INTERRUPTED for run in runs)
        if cut:
            print(f"{cut} of them were cut off: `tonne recover` closes them.", file=sys.stderr)
    else:
        print("No run is known yet. Measure one: tonne run -- python train.py", file=sys.stderr)


def show(run: str, folder: str | None, *, view: str, window: str | None, site: str | None, as_json: bool) -> None:
    """Print one run with its account."""
    found = run_named(run, folder)
    whole = measured(found.folder, window=window or main_window(found.folder))
    account = account_of(whole, site=site, view=view)
    if not as_json:
        print("\n".join(run_lines(whole, account, view)))
        return
    more = {
        "view": view,
        "site": plain(whole.site if site is None else site),
        "windows": dict(whole.windows),
        "nodes": len(whole.nodes),
        "account": plain(account),
        "expected": plain(expected(whole, account)),
    }
    _print({"run": {**_fields(found), **more}})


def main_window(folder: str) -> str | None:
    """The window that is the run, where a decorated function's calls are all that counts."""
    from tonne.measure.status import headers  # noqa: PLC0415 - only here
    from tonne.measure.windows import CALLS  # noqa: PLC0415 - only here

    return CALLS if any(header.get("calls") for _, header in headers(folder)) else None


def close(run: str | None, folder: str | None, *, as_json: bool = False) -> None:
    """Close runs that were cut off: the one that is named, or all."""
    runs = known_runs(folder) if run is None else [run_named(run, folder)]
    closed = [one for one in runs if recover(one.folder)]
    if as_json:
        _print({"recovered": [_fields(run_named(one.folder)) for one in closed]})
    elif closed:
        print("\n".join(f"recovered  {one.id}" for one in closed))
    else:
        print("Nothing to recover: no run was cut off.", file=sys.stderr)


def _fields(run: Listed) -> dict[str, Any]:
    ended = run.ended_unix_s
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "begun": _iso(run.begun_unix_s),
        "ended": None if ended is None else _iso(ended),
        "duration_s": run.duration_s,
        "folder": run.folder,
    }


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def _print(fields: dict[str, Any]) -> None:
    print(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, indent=2, allow_nan=False, ensure_ascii=False))
