"""Journals whose energy is known: a counter of so many watts, read once a second."""

from __future__ import annotations

import json
from pathlib import Path

NS_PER_S = 1_000_000_000
BEGUN_NS = 5_000 * NS_PER_S
BEGUN_UNIX_S = 1_700_000_000.0


def header(run: str, **fields) -> dict:
    """The first line of a process's file."""
    node = fields.pop("node", "11111111-aaaa")
    stamp = fields.pop("stamp", f"{node[:8]}-42-1a2b")
    process = {"pid": 42, "started": 6699, "parents": [], "session": 1, "namespace": "pid:[0]"}
    line = {
        "kind": "run", "schema": 1, "tonne": "0.1.0", "run": run, "name": run, "role": "rank", "site": "FR",
        "hourly": False, "interval_s": 1.0, "t": BEGUN_NS, "unix_s": BEGUN_UNIX_S, "node": node, "process": process,
        "stamp": stamp, "cpus": 4, "cpus_allowed": 4, "devices": None, "python": "3.11.7", "platform": "linux",
        "calls": False, "resumes": False, "forked": False,
    }  # fmt: skip
    return {**line, **fields}


def sensors(part: str = "cpu", device: str = "") -> dict:
    described = {
        "name": f"fake:{part}", "part": part, "covers": [part], "kind": "counter", "unit": "J", "error_fraction": 0.0,
        "wrap_j": None, "window_s": 0.0, "ceiling_w": None, "device": device, "device_id": "",
    }  # fmt: skip
    facts = {"cpu": "Test 9000", "sockets": 2, "threads": 8, "memory_bytes": 2**33}
    return {"kind": "sensors", "t": BEGUN_NS, "sensors": [described], "missing": [], "facts": facts}


def tick(second: float, watts: float) -> dict:
    return {"t": BEGUN_NS + int(second * NS_PER_S), "p": [second, 1e6], "v": [watts * second], "o": [0]}


def write_journal(
    folder: Path, run: str, *, seconds: int = 10, watts: float = 100.0, more=(), end="finished", **fields
):
    """A run that drew so many watts for so many seconds; with `end` None it was cut off."""
    lines = [header(run, **fields), sensors(), {"kind": "start", "t": BEGUN_NS, "unix_s": BEGUN_UNIX_S}]
    lines += [tick(second, watts) for second in range(seconds + 1)]
    lines += more
    at = BEGUN_NS + seconds * NS_PER_S
    if end is not None:
        lines.append({"kind": "leave", "t": at, "unix_s": BEGUN_UNIX_S + seconds, "status": end})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "journal.jsonl"
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")
    return path
