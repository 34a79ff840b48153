"""The first tables: entries in a chain, and runs as they follow from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

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


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tonne_entries",
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False, unique=True),
        sa.Column("unix_s", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False, index=True),
        sa.Column("content", sa.Text),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.create_table(
        "tonne_head",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.execute(f"INSERT INTO tonne_head (name, position, sha256) VALUES ('chain', 0, '{'0' * 64}')")
    _make_runs()
    op.create_table(
        "tonne_documents",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )


def _make_runs() -> None:
    op.create_table(
        "tonne_runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("begun_unix_s", sa.Double, nullable=False),
        sa.Column("ended_unix_s", sa.Double),
        sa.Column("tokens", sa.Double),
        *(sa.Column(f"{name}{end}", sa.Double) for name in QUANTITIES for end in ("", "_low", "_high")),
        sa.Column("is_foretold", sa.Boolean, nullable=False),
        sa.Column("folder", sa.Text),
        sa.Column("merged_into", sa.Text),
    )
    op.create_index("tonne_runs_begun", "tonne_runs", ["begun_unix_s"])
    op.create_index("tonne_runs_project", "tonne_runs", ["project"])
    op.create_index("tonne_runs_name", "tonne_runs", ["name"])
