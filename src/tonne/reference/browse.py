"""The tables as plain rows, for people: what `tonne reference` prints."""

from __future__ import annotations

from tonne.errors import UnknownReferenceError
from tonne.reference.grids import grid_zone
from tonne.reference.matching import aliases_of, listed, squashed, words_of
from tonne.reference.table import DATA_VERSION, Row, table

TABLES_OF = {
    "accelerators": ("accelerators",),
    "nodes": ("nodes",),
    "cpus": ("cpus",),
    "grids": ("grids_country", "grids_subnational"),
    "regions": ("regions",),
    "embodied": ("embodied_cards", "embodied_defaults", "embodied"),
    "architectures": ("architectures",),
    "prices": ("prices",),
    "pue": ("pue_wue",),
    "power": ("power_families", "power_evidence"),
    "inference-runs": ("inference_runs",),
    "thresholds": ("thresholds",),
    "sources": ("sources",),
}
NAME_COLUMNS = (
    "id", "key", "name", "vendor", "model", "family", "zone", "iso3", "name_en", "name_zh", "provider", "region",
    "location", "country_en", "country_zh", "item", "kind", "site", "accelerator_id", "title", "org",
)  # fmt: skip


def rows(table_name: str, query: str | None = None) -> list[Row]:
    """Rows of a table with their source, year, licence and basis; cells are strings.

    Args:
        table_name: One of accelerators, nodes, grids, regions, embodied, architectures, cpus, prices and so on.
        query: A name or a part of one; all rows when None (of grids the newest year of every zone).

    Raises:
        UnknownReferenceError: Unknown table, or nothing answers to the query.
    """
    if table_name not in TABLES_OF:
        raise UnknownReferenceError(
            f"there is no table {table_name!r}. Known: {', '.join(TABLES_OF)}. Use one of these."
        )
    every = [_complete(row) for name in TABLES_OF[table_name] for row in table(name)]
    if query is None:
        return _newest(every) if table_name == "grids" else every
    kept = _of_zone(query, every) if table_name == "grids" else _named(table_name, query, every)
    kept = kept or [row for row in every if _holds(row, query)] or [row for row in every if _holds_words(row, query)]
    if not kept:
        raise UnknownReferenceError(_nothing(table_name, query, every))
    if table_name == "grids":
        kept.sort(key=lambda row: (row["zone"], row["accounting"], -int(row["year"])))
    return kept


def _complete(row: Row) -> Row:
    """The row with all four columns that say where it is from."""
    found = dict(row)
    years = (row.get("year"), row.get("date", "")[:4], row.get("factor_year"), row.get("pue_year"))
    found["year"] = next((year for year in years if year), f"vintage {DATA_VERSION}")
    found.setdefault("source", row.get("title", ""))
    found.setdefault("licence", "facts")
    recalled = row.get("verification", "") in {"recalled", "estimate"}
    found.setdefault("basis", "assumed" if recalled else "published")
    return found


def _of_zone(query: str, every: list[Row]) -> list[Row]:
    try:
        zone = grid_zone(query).id
    except UnknownReferenceError:
        return []
    return [row for row in every if row["zone"] == zone]


def _named(table_name: str, query: str, every: list[Row]) -> list[Row]:
    """Rows that an alias means, with all whose names hold the query."""
    meant = aliases_of(table_name).get(squashed(query))
    return [row for row in every if row.get("id") == meant or _holds(row, query)] if meant else []


def _holds(row: Row, query: str) -> bool:
    """Whether a name of the row holds the query, case and separators aside."""
    names = [row[column] for column in NAME_COLUMNS if row.get(column)]
    names.append(f"{row.get('provider', '')}:{row.get('region', '')}")
    return any(squashed(query) in squashed(name) for name in names)


def _holds_words(row: Row, query: str) -> bool:
    """Whether all words of the query are words of the row's names."""
    own = {word for column in NAME_COLUMNS if row.get(column) for word in words_of(row[column])}
    return own.issuperset(words_of(query))


def _newest(every: list[Row]) -> list[Row]:
    newest: dict[tuple[str, str], Row] = {}
    for row in every:
        key = (row["zone"], row["accounting"])
        if key not in newest or int(row["year"]) > int(newest[key]["year"]):
            newest[key] = row
    return list(newest.values())


def _nothing(table_name: str, query: str, every: list[Row]) -> str:
    import difflib  # 8 ms that only an error costs

    names = {squashed(row[c]): row[c] for row in every for c in NAME_COLUMNS if row.get(c)}
    close = [names[key] for key in difflib.get_close_matches(squashed(query), names, n=8, cutoff=0.5)]
    return f"{table_name} has no {query!r}. Close: {listed(close) or 'none'}. Leave the name out to see all rows."
