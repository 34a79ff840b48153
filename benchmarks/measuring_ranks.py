"""Is a node counted once, whatever number of ranks track it? 8 processes start and stop together in one folder.

Asked: all 8 recorded in 100 of 100 repeats, the account of every rank the same within 1 %, their shares together the
node within 1 %. CodeCarbon, 3 repeats: rows in its file, and the sum of the energy in them beside the node's.
Exits with 1 if missed. `--short`: 5 repeats.

Answer (2 cores of a quiet virtual machine, Python 3.11, 2026-11-27): tonne 100 of 100 repeats; CodeCarbon wrote 20
of the 24 rows of 3, whose sum is 6.5 nodes (another time all 24, 7.1 nodes).
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

from rivals import places
from rivals.environments import tools
from rivals.running import OUT, answer, is_short, scratch, start
from rivals.tree import Domain, Trace, moving

RANKS, SECONDS, WATTS = 8, 2.0, 100.0
REPEATS = 5 if is_short() else 100
RIVAL_REPEATS = 1 if is_short() else 3
ONE = [Domain("0", "package-0", Trace("constant", WATTS))]


def repeat(tool: str) -> tuple[list[dict[str, Any]], int, float]:
    """Answers of all ranks; for rivals the rows in their file, and the energy in them [kWh]."""
    with scratch() as scratched:
        folder = Path(scratched)
        tree, home = folder / "powercap", folder / tool
        with moving(tree, ONE):
            ours = {"TONNE_POWERCAP_ROOT": str(tree), "TONNE_HOME": str(home / "tonne")} if tool == "tonne" else {}
            ours |= {"TONNE_RUNTIME": str(home / "locks")} if tool == "tonne" else {}
            wrap = None if tool == "tonne" else (lambda words: places.with_tree(tree, words))
            options = {"seconds": SECONDS, "go_file": str(folder / "go"), "folder": str(home)}
            home.mkdir()
            ranks = [
                start(tool, "rank", options, folder=folder / f"rank-{i}", wrap=wrap, variables=ours)
                for i in range(RANKS)
            ]
            limit = time.monotonic() + 120
            while time.monotonic() < limit and not all((rank.folder / OUT).read_text() for rank in ranks):
                time.sleep(0.05)
            (folder / "go").touch()
            found = [answer(rank, 180) for rank in ranks]
        rows: list[dict[str, str]] = []
        for path in home.glob("*.csv"):
            with path.open(newline="") as file:
                rows += list(csv.DictReader(file))
    return found, len(rows), sum(float(row.get("cpu_energy") or 0) for row in rows)


def is_once(found: list[dict[str, Any]]) -> str:
    """What is wrong with a repeat of ours; empty where all is well."""
    if any("failed" in one for one in found):
        return next(one["failed"] for one in found if "failed" in one)
    runs = {one["run"] for one in found}
    if len(runs) != 1:
        return f"{len(runs)} runs"
    wholes = [one["kwh"] for one in found]
    if max(wholes) > 1.01 * min(wholes):
        return f"accounts differ: {min(wholes):.3g} to {max(wholes):.3g} kWh"
    shares = sum(one["share_kwh"] for one in found)
    return "" if abs(shares / wholes[0] - 1) <= 0.01 else f"shares are {shares / wholes[0]:.3f} of the node"


def main() -> int:
    wrong: dict[str, int] = {}
    for _ in range(REPEATS):
        found, _, _ = repeat("tonne")
        what = is_once(found)
        if what:
            wrong[what] = wrong.get(what, 0) + 1
    print(f"tonne        {REPEATS - sum(wrong.values())} of {REPEATS} repeats: 8 ranks, one run, one node", flush=True)
    for what, times in wrong.items():
        print(f"             {times} times: {what}")
    if places.are_there() and "codecarbon" in tools("codecarbon"):
        rows, factors = 0, []
        for _ in range(RIVAL_REPEATS):
            found, there, kwh = repeat("codecarbon")
            ends = [one for one in found if "begin" in one]
            spans = max((one["end"] for one in ends), default=1.0) - min((one["begin"] for one in ends), default=0.0)
            rows += there
            factors.append(kwh * 3.6e6 / (WATTS * spans))
        print(f"codecarbon   {rows} of {RANKS * RIVAL_REPEATS} rows written; their sum is {max(factors):.1f} nodes")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
