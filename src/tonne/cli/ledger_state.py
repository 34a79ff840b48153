"""`tonne ledger`: where it is, what waits for it, and whether it is whole."""

from __future__ import annotations

import sys
from typing import Any

import typer

from tonne.cli.runs import iso, print_json, say_refused
from tonne.documents import plain
from tonne.ledger.book import Ledger
from tonne.ledger.records import KINDS
from tonne.ledger.rows import Filter

EXIT_INCOMPLETE = 4


def show(*, as_json: bool) -> None:
    """Print where the ledger is and what is in it."""
    with Ledger.open() as ledger:
        say_refused(ledger)
        entries, head = ledger.head()
        fields: dict[str, Any] = {
            "ledger": ledger.store.shown,
            "entries": entries,
            "head_sha256": head,
            "runs": {kind: ledger.count(Filter(kinds=(kind,), merged=True)) for kind in KINDS},
            "running": len(ledger.taken.running),
            "waiting": sorted(ledger.taken.waiting),
            "left_in_inbox": ledger.taken.left,
            "refused": [str(path) for path in ledger.refused()],
            "deleted": [{"id": run, "time": iso(at), "reason": why} for run, at, why in ledger.deleted()],
        }
    if as_json:
        print_json(fields)
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in fields["runs"].items())
    lines = [f"Ledger   {fields['ledger']}", f"Runs     {counts}", f"Entries  {entries}", f"Head     {head}"]
    lines += [f"Waits    {run}: its journal is long; `tonne runs show {run}` reads it" for run in fields["waiting"]]
    lines += [f"Refused  {path}" for path in fields["refused"]]
    lines += [f"Deleted  {one['id']}  {one['time']}  {one['reason']}" for one in fields["deleted"]]
    print("\n".join(lines))


def verify(expect: str | None, *, as_json: bool) -> None:
    """Print whether the ledger is whole; leave with 4 where it is not."""
    with Ledger.open() as ledger:
        say_refused(ledger)
        found = ledger.verify(expect)
        shown = ledger.store.shown
    if as_json:
        print_json({"verification": {**plain(found), "is_whole": not found.problems, "ledger": shown}})
    elif found.problems:
        print(f"{shown} is not whole:")
        print("\n".join(f"  {problem}" for problem in found.problems))
        if any("list" in problem for problem in found.problems):
            print("What is listed is made anew from the entries by: tonne ledger mend", file=sys.stderr)
    else:
        print(f"{shown} is whole: {found.entries} entries, {found.runs} runs, head {found.head_sha256}")
        if expect is None:
            print("Note that hash elsewhere: --expect shows later that this chain goes on from it.", file=sys.stderr)
    if found.problems:
        raise typer.Exit(EXIT_INCOMPLETE)


def mend(*, as_json: bool) -> None:
    """Make what is listed anew, and print whether the ledger is whole then."""
    with Ledger.open() as ledger:
        say_refused(ledger)
        ledger.make_anew()
    verify(None, as_json=as_json)


def take_in(*, refused: bool, as_json: bool) -> None:
    """Take in all that waits."""
    with Ledger.open(budget_s=0.0) as ledger:
        tried = ledger.retry_refused() if refused else 0
        if not refused:
            ledger.take_in()
        say_refused(ledger)
        taken = ledger.taken
    if as_json:
        print_json({"lines": taken.lines, "journals": taken.journals, "retried": tried, "refused": len(taken.refused)})
    else:
        print(f"taken in  {taken.lines} lines, {taken.journals} journals")
