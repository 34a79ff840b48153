"""Runs as a list and in sum, from columns alone; of runs at one time, their machines are read from documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Connection, Select, cast, func, select, true, type_coerce

from tonne.errors import LedgerError
from tonne.estimate import Basis, Estimate
from tonne.ledger.overlap import Stay, counted_again, machines_of, on_machines, together
from tonne.ledger.records import FORECAST, IMPORTED, KINDS, MEASURED
from tonne.ledger.tables import DOCUMENTS, ENDS, QUANTITIES, RUNS
from tonne.measure.purposes import purpose_named
from tonne.measure.status import WORST_FIRST

STATUSES = (*WORST_FIRST, FORECAST, "unknown")
GROUPS = ("kind", "name", "project", "purpose", "status")
LEDGER = "the sum of the ledger's runs"
OF_MACHINES = tuple(name for name in QUANTITIES if name != "duration_s")  # what a run counts of its whole machine
PAGE = 500  # ids that one query names


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which runs; what is left out leaves none out. The newest come first.

    ``kinds``: measured and imported runs, unless forecasts are asked for. ``tags``: a run has all of them. ``name`` may
    have stars. Runs that were merged into another are in it, and not listed beside it, unless ``merged``.
    """

    kinds: tuple[str, ...] = (MEASURED, IMPORTED)
    ids: tuple[str, ...] | None = None
    project: str | None = None
    purpose: str | None = None
    status: str | None = None
    tags: tuple[str, ...] = ()
    name: str | None = None
    since_unix_s: float | None = None
    until_unix_s: float | None = None
    is_foretold: bool | None = None  # whether there is a forecast of it, made before it began
    merged: bool = False
    limit: int | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        """Check the words.

        Raises:
            LedgerError: There is no such kind or status.
            DescriptionError: There is no such purpose.
        """
        purpose_named(self.purpose)
        for kind in self.kinds:
            if kind not in KINDS:
                raise LedgerError(f"kind={kind!r} is none. Use one of {', '.join(KINDS)}.")
        if self.status is not None and self.status not in STATUSES:
            raise LedgerError(f"status={self.status!r} is none. Use one of {', '.join(STATUSES)}.")


class Row(NamedTuple):
    """A run as a list shows it; a quantity that is not known is None. A tuple: a list may have a hundred thousand."""

    id: str
    name: str
    kind: str
    status: str
    begun_unix_s: float
    ended_unix_s: float | None = None
    purpose: str | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()
    tokens: float | None = None
    duration_s: float | None = None
    accelerator_hours: float | None = None
    facility_kwh: float | None = None
    operational_location_kgco2e: float | None = None
    operational_market_kgco2e: float | None = None
    embodied_kgco2e: float | None = None
    water_l: float | None = None
    cost_usd: float | None = None
    is_foretold: bool = False
    folder: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What runs took together. Each quantity is the sum over the runs that know it; ``unknown`` says of how many not.

    Ends of intervals are added, as the errors of runs on one machine, grid and building go the same way. A run counts
    all that its machine drew: ``side_by_side`` runs were on a machine together, and ``counted_again`` is about what the
    sums hold more than once for that.
    """

    runs: int
    duration_s: Estimate | None = None
    accelerator_hours: Estimate | None = None
    facility_kwh: Estimate | None = None
    operational_location_kgco2e: Estimate | None = None
    operational_market_kgco2e: Estimate | None = None
    embodied_kgco2e: Estimate | None = None
    water_l: Estimate | None = None
    cost_usd: Estimate | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)
    side_by_side: int = 0
    counted_again: Mapping[str, float] = field(default_factory=dict)


ROW_NAMES = Row._fields
TAGS_AT = ROW_NAMES.index("tags")
ROW_COLUMNS = tuple(RUNS.c[name] for name in ROW_NAMES)


def rows(connection: Connection, which: Filter) -> list[Row]:
    """The runs, the newest first."""
    query = select(*ROW_COLUMNS).where(conditions(which))
    return [
        Row._make((*values[:TAGS_AT], _tags(values[TAGS_AT]), *values[TAGS_AT + 1 :]))
        for values in connection.execute(paged(query, which))
    ]


def _tags(column: str) -> tuple[str, ...]:
    return tuple(tag for tag in column.split("\n") if tag) if column else ()


def count(connection: Connection, which: Filter) -> int:
    """How many runs there are, whatever the limit."""
    return int(connection.execute(select(func.count()).select_from(RUNS).where(conditions(which))).scalar_one())


def paged(query: Select[Any], which: Filter) -> Select[Any]:
    """The newest first, as many as are wanted."""
    ordered = query.order_by(RUNS.c.begun_unix_s.desc(), RUNS.c.id)
    return ordered.limit(which.limit).offset(which.offset) if which.limit is not None else ordered.offset(which.offset)


def conditions(which: Filter) -> ColumnElement[bool]:
    """What a run's columns must say."""
    columns = RUNS.c
    asked: list[ColumnElement[bool]] = [columns.kind.in_(which.kinds)] if set(which.kinds) != set(KINDS) else []
    asked += [columns[name] == value for name in ("project", "purpose", "status", "is_foretold")
              if (value := getattr(which, name)) is not None]  # fmt: skip
    if which.ids is not None:
        asked.append(columns.id.in_(which.ids))
    asked += [columns.tags.contains(f"\n{tag}\n", autoescape=True) for tag in which.tags]
    if which.name is not None:
        pattern = which.name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        asked.append(columns.name.like(pattern, escape="\\") if "*" in which.name else columns.name == which.name)
    if which.since_unix_s is not None:
        asked.append(columns.begun_unix_s >= which.since_unix_s)
    if which.until_unix_s is not None:
        asked.append(columns.begun_unix_s < which.until_unix_s)
    if not which.merged:
        asked.append(columns.merged_into.is_(None))
    found: ColumnElement[bool] = true()
    for one in asked:
        found = found & one
    return found


def matches(row: Row, which: Filter) -> bool:
    """Whether a run that is in no table is one of those that are asked for."""
    wanted = {name: getattr(which, name) for name in ("project", "purpose", "status", "is_foretold")}
    return (
        row.kind in which.kinds
        and all(value is None or getattr(row, name) == value for name, value in wanted.items())
        and set(which.tags) <= set(row.tags)
        and (which.ids is None or row.id in which.ids)
        and (which.name is None or fnmatchcase(row.name, which.name.replace("[", "[[]").replace("?", "[?]")))
        and (which.since_unix_s is None or row.begun_unix_s >= which.since_unix_s)
        and (which.until_unix_s is None or row.begun_unix_s < which.until_unix_s)
    )


def totals(connection: Connection, which: Filter) -> Totals:
    """What the runs took together; the limit does not count."""
    return next(iter(_grouped(connection, which, None).values()), Totals(runs=0))


def totals_by(connection: Connection, which: Filter, group: str) -> dict[str | None, Totals]:
    """What the runs took together, by what their column says; None for those of which nobody said it.

    Raises:
        LedgerError: There is no such column to group by.
    """
    if group not in GROUPS:
        raise LedgerError(f"runs cannot be added up by {group!r}. Use one of {', '.join(GROUPS)}.")
    return _grouped(connection, which, group)


def _grouped(connection: Connection, which: Filter, group: str | None) -> dict[str | None, Totals]:
    sums = [func.sum(RUNS.c[f"{name}{end}"]) for name in QUANTITIES for end in ENDS]
    known = [func.count(RUNS.c[name]) for name in QUANTITIES]
    keys = [] if group is None else [RUNS.c[group]]
    query = select(*keys, func.count(), *known, *sums).where(conditions(which)).group_by(*keys).order_by(*keys)
    found: dict[str | None, Totals] = {}
    for values in connection.execute(query):
        key = values[0] if keys else None
        found[key] = _totals(values[len(keys) :])
    for key, stays in _stays(connection, which, group).items():
        at_once = {stay.id for of_it in on_machines(stays).values() for stay in of_it}
        found[key] = replace(found[key], side_by_side=len(at_once), counted_again=counted_again(stays))
    return found


def _stays(connection: Connection, which: Filter, group: str | None) -> dict[str | None, list[Stay]]:
    """The runs of each group that went on while others of it did, with their machines and what they count of them."""
    columns = RUNS.c
    keys = [] if group is None else [columns[group]]
    of_time = conditions(which) & columns.ended_unix_s.is_not(None) & (columns.kind != FORECAST)
    order = [columns.begun_unix_s, columns.id]
    earlier = func.max(columns.ended_unix_s).over(partition_by=keys, order_by=order, rows=(None, -1))
    later = func.lead(columns.begun_unix_s).over(partition_by=keys, order_by=order)
    beside = select(
        columns.id, columns.begun_unix_s, columns.ended_unix_s, earlier.label("earlier"), later.label("later"), *keys
    ).where(of_time).subquery()  # fmt: skip
    c = beside.c
    some = (c.earlier > c.begun_unix_s) | (c.later < c.ended_unix_s)  # the database finds them: most runs are alone
    query = select(c.id, c.begun_unix_s, c.ended_unix_s, *(c[key.name] for key in keys)).where(some)
    by_key: dict[str | None, list[Stay]] = {}
    for id, begun, ended, *key in connection.execute(query):
        by_key.setdefault(key[0] if key else None, []).append(Stay(id=id, begun_unix_s=begun, ended_unix_s=ended))
    at_once = {key: together(stays) for key, stays in by_key.items()}
    known = _with_machines(connection, [stay for stays in at_once.values() for stay in stays])
    return {key: [known[stay.id] for stay in stays] for key, stays in at_once.items() if stays}


def _with_machines(connection: Connection, stays: Sequence[Stay]) -> dict[str, Stay]:
    text = DOCUMENTS.c.document
    document = cast(text, JSON) if connection.dialect.name == "postgresql" else type_coerce(text, JSON)
    stamps = document[("evidence", "journal_stamps")]
    query = select(RUNS.c.id, stamps, *(RUNS.c[name] for name in OF_MACHINES)).join(
        DOCUMENTS, DOCUMENTS.c.run == RUNS.c.id
    )
    by_id, found = {stay.id: stay for stay in stays}, {}
    for begin in range(0, len(stays), PAGE):
        page = [stay.id for stay in stays[begin : begin + PAGE]]
        for id, told, *amounts in connection.execute(query.where(RUNS.c.id.in_(page))):
            known = {name: amount for name, amount in zip(OF_MACHINES, amounts, strict=True) if amount is not None}
            found[id] = replace(by_id[id], machines=machines_of(told or ()), amounts=known)
    return by_id | found


def _totals(values: Any) -> Totals:  # noqa: ANN401 - columns of one row: runs, known of each quantity, sums
    runs, known = int(values[0]), values[1 : 1 + len(QUANTITIES)]
    sums = values[1 + len(QUANTITIES) :]
    quantities: dict[str, Estimate | None] = {}
    for i, name in enumerate(QUANTITIES):
        value, low, high = sums[3 * i : 3 * i + 3]
        quantities[name] = (
            None
            if value is None
            else Estimate(value=value, low=low, high=high, basis=Basis.MODELLED, sources=(LEDGER,))
        )
    unknown = {name: runs - int(known[i]) for i, name in enumerate(QUANTITIES) if int(known[i]) < runs}
    return replace(Totals(runs=runs, unknown=unknown), **quantities)  # type: ignore[arg-type]


def columns_of(document: Mapping[str, Any], *, folder: str | None, merged_into: str | None) -> dict[str, Any]:
    """The columns of a run, from its document."""
    found: dict[str, Any] = {
        "id": document["id"],
        "folder": folder,
        "merged_into": merged_into,
        "tags": "".join(f"\n{tag}\n" for tag in document["tags"]),
        "tokens": document["work"].get("tokens"),
        "is_foretold": document.get("forecast") is not None and document["kind"] != FORECAST,
    }
    found |= {
        name: document.get(name)
        for name in ("name", "kind", "status", "purpose", "project", "begun_unix_s", "ended_unix_s")
    }
    account = document.get("account") or {}
    energy, carbon = account.get("energy") or {}, account.get("carbon") or {}
    for name in QUANTITIES:
        estimate = account.get(name) or energy.get(name) or carbon.get(name) or {}
        for end, key in zip(ENDS, ("value", "low", "high"), strict=True):
            found[f"{name}{end}"] = estimate.get(key)
    return {name: _storable(value) for name, value in found.items()}


def _storable(value: Any) -> Any:  # noqa: ANN401 - of a column
    """Text that every database takes: no character zero, no half of a pair."""
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else value
