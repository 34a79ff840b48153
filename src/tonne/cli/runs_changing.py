"""`tonne runs tag`, `link`, `merge` and `delete`: what people say of runs, each as an entry of its own."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.cli.runs import fields_of, opened, print_json
from tonne.errors import LedgerError
from tonne.ledger.book import Ledger
from tonne.ledger.records import KINDS
from tonne.ledger.rows import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of a run."""

    purpose: str | None = None
    project: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    untag: tuple[str, ...] = ()


def tag(run: str, said: Said, *, as_json: bool) -> None:
    """Tag a run, and print how it stands."""
    if said == Said():
        raise LedgerError("there is nothing to say. Give --purpose, --project, --name, --tag or --untag.")
    with opened() as ledger:
        found = ledger.tag(
            run, purpose=said.purpose, project=said.project, tags=said.tags, untag=said.untag, name=said.name
        )
        _print(ledger, found, "tagged", as_json=as_json)


def link(run: str, kind: str, to: str, *, as_json: bool) -> None:
    """Link a run to another, and print how it stands."""
    with opened() as ledger:
        found = ledger.link(run, kind, to)
        _print(ledger, found, "linked", as_json=as_json)


def merge(runs: list[str], name: str | None, *, as_json: bool) -> None:
    """Merge runs, and print the whole."""
    with opened() as ledger:
        made = ledger.merge(runs, name=name)
        _print(ledger, made.id, "merged", as_json=as_json)


def delete(run: str, reason: str, *, as_json: bool) -> None:
    """Delete a run, and say so."""
    with opened() as ledger:
        gone = ledger.delete(run, reason)
        if as_json:
            print_json({"deleted": {"id": gone, "reason": reason}})
        else:
            print(f"deleted  {gone}")


def _print(ledger: Ledger, run: str, word: str, *, as_json: bool) -> None:
    (row,) = ledger.rows(Filter(ids=(run,), kinds=KINDS, merged=True))
    if as_json:
        print_json({"run": fields_of(row)})
        return
    said = [row.purpose, row.project, *row.tags]
    print("  ".join([word, run, *(word for word in said if word)]))
