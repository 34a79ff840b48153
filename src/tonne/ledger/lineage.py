"""How runs go back to others, and which links make sense."""

from __future__ import annotations

from sqlalchemy import Connection

from tonne.errors import LedgerError
from tonne.ledger.records import CONTINUES, DISTILS, FORECAST, FORETOLD_BY, INITIALISED_FROM, SAYABLE_LINKS
from tonne.ledger.writing import document_in

DESCENT = (CONTINUES, INITIALISED_FROM, DISTILS)


def check_link(connection: Connection, run: str, kind: str, to: str) -> None:
    """Refuse a link that cannot be.

    Args:
        connection: To the ledger.
        run: Id of the run that goes back to the other.
        kind: Of the link.
        to: Id of the other; what is not in the ledger is taken as it is.

    Raises:
        LedgerError: There is no such kind of link, it would lead back to the run, or the other is no forecast.
    """
    if kind not in SAYABLE_LINKS:
        raise LedgerError(f"link={kind!r} is none. Use one of {', '.join(SAYABLE_LINKS)}.")
    if run == to:
        raise LedgerError(f"{run} cannot be linked to itself. Name the run that it goes back to.")
    if kind in DESCENT and run in ancestors(connection, to):
        raise LedgerError(
            f"{to} goes back to {run} already, so that {run} cannot go back to {to}. Turn the link round."
        )
    other = document_in(connection, to)
    if kind == FORETOLD_BY and other is not None and other["kind"] != FORECAST:
        raise LedgerError(f"{to} is no forecast. `tonne runs --kind forecast` lists those that are kept.")


def ancestors(connection: Connection, run: str) -> set[str]:
    """The runs that one goes back to, over however many others."""
    found: set[str] = set()
    waiting = [run]
    while waiting:
        document = document_in(connection, waiting.pop())
        links = [] if document is None else document["links"]
        new = {str(link["to"]) for link in links if link["kind"] in DESCENT} - found
        found |= new
        waiting += new
    return found
