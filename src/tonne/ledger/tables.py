"""The tables of a ledger. `tonne_entries` is what was ever written; all other tables are made from it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, String, Table, Text

REVISION = "0001"  # of these tables; the newest file of migrations/versions
VERSION_TABLE = "tonne_version"
CHAIN = "chain"  # the one row of the head
QUANTITIES = (
    "duration_s",
    "accelerator_hours",
    "facility_kwh",
    "operational_location_kgco2e",
    "operational_market_kgco2e",
    "embodied_kgco2e",
    "water_l",
    "cost_usd",
)
ENDS = ("", "_low", "_high")

METADATA = MetaData()

ENTRIES = Table(
    "tonne_entries",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False, unique=True),  # the same one never enters twice
    Column("unix_s", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("run", Text, nullable=False, index=True),
    Column("content", Text),  # JSON; none where the run was deleted
    Column("content_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
)

HEAD = Table(
    "tonne_head",
    METADATA,
    Column("name", String(16), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

RUNS = Table(
    "tonne_runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("purpose", Text),
    Column("project", Text),
    Column("tags", Text, nullable=False),  # each between two line feeds
    Column("begun_unix_s", Double, nullable=False),
    Column("ended_unix_s", Double),
    Column("tokens", Double),
    *(Column(f"{name}{end}", Double) for name in QUANTITIES for end in ENDS),
    Column("is_foretold", Boolean, nullable=False),
    Column("folder", Text),
    Column("merged_into", Text),
    Index("tonne_runs_begun", "begun_unix_s"),
    Index("tonne_runs_project", "project"),
    Index("tonne_runs_name", "name"),
)

DOCUMENTS = Table(
    "tonne_documents",
    METADATA,
    Column("run", Text, primary_key=True),
    Column("document", Text, nullable=False),
)
