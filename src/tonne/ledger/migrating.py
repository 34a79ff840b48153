"""The tables of a ledger, brought from any version to this one by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a version, in the transaction that the connection has open.

    Args:
        connection: Of the ledger's database; nobody else writes meanwhile.
        revision: Of migrations/versions; left out, the newest.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
