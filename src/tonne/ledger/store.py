"""The database of a ledger: a SQLite file, or PostgreSQL. Its version is read first; it is never older in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from tonne.errors import LedgerError, MissingPackageError
from tonne.ledger.tables import REVISION, VERSION_TABLE

SQLITE, POSTGRESQL = "sqlite", "postgresql+pg8000"
WAIT_S = 60.0  # for other writers
CONNECT_S = 10.0
WAL_TRIES, WAL_PAUSE_S = 50, 0.05  # turning it on does not wait for others by itself
CACHE_KIB = 65_536  # of pages: sums over 100,000 runs read 50 MB, in the order of an index
WRITES = "tonne_writes"
WRITERS_LOCK = 0x746F6E6E65  # "tonne"


class Store:
    """A database, its tables as this version of tonne has them.

    Raises:
        LedgerError: It cannot be reached, is none, or was written by a newer version.
        MissingPackageError: The driver of PostgreSQL is not installed.
    """

    def __init__(self, url: str) -> None:
        """Open the database that an address names, and bring its tables up to date."""
        self.url = _url(url)
        self.shown = self.url.database if self.is_file else self.url.render_as_string(hide_password=True)
        self._engine = self._new_engine()
        try:
            with self.told():
                self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

    @property
    def is_file(self) -> bool:
        """Whether it is a SQLite file."""
        return self.url.get_backend_name() == SQLITE

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the ledger."""
        with self.told(), self._engine.connect() as connection:
            if not self.is_file:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection that alone writes; what it wrote is on disk afterwards, or none of it where an error came."""
        with self.told(), self._engine.connect() as connection:
            alone = connection.execution_options(**{WRITES: True})
            with alone.begin():
                if not self.is_file:  # before anything is read that what is written rests on
                    alone.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
                yield alone

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def told(self) -> Iterator[None]:
        """A database's own errors as those of tonne."""
        try:
            yield
        except (DBAPIError, SQLAlchemyError) as error:
            why = _why(getattr(error, "orig", None) or error)
            raise LedgerError(
                f"the ledger {self.shown} cannot be used: {why}. Mend it, or name another with TONNE_LEDGER; nothing "
                f"is lost: what was measured and forecast waits in the inbox until the ledger is opened again."
            ) from error

    def _new_engine(self) -> Engine:
        if not self.is_file:
            try:
                return create_engine(self.url, pool_pre_ping=True, connect_args={"timeout": CONNECT_S})
            except ImportError:
                raise MissingPackageError(
                    "a ledger in PostgreSQL needs the package pg8000. Install it: pip install 'tonne[postgresql]'"
                ) from None
        folder = os.path.dirname(self.url.database or "")  # noqa: PTH120 - a text of SQLAlchemy's
        if folder:
            try:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
            except OSError as error:
                raise LedgerError(
                    f"the ledger's folder {folder} cannot be made: {error.strerror}. Set TONNE_HOME to one that can."
                ) from None
        arguments = {"timeout": WAIT_S, "isolation_level": None, "check_same_thread": False}
        engine = create_engine(self.url, connect_args=arguments)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            found = self._version(connection)
        if found == REVISION:
            return
        if found is not None and found > REVISION:
            raise LedgerError(
                f"the ledger {self.shown} was written by a newer tonne (its tables are of version {found}, this one "
                f"knows {REVISION}). Update tonne: pip install -U tonne. Nothing was changed, and what this version "
                f"measures waits in the inbox."
            )
        from tonne.ledger.migrating import migrate  # noqa: PLC0415 - Alembic, only where there is something to do

        with self.writing() as connection:
            if self._version(connection) != REVISION:  # nobody else was faster
                migrate(connection)

    @staticmethod
    def _version(connection: Connection) -> str | None:
        """Version of the tables; None where there are none."""
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return None if found is None else str(found)


def _url(given: str) -> URL:
    """The address of a database; a plain path is a SQLite file's."""
    if "://" not in given:
        return URL.create(SQLITE, database=os.path.abspath(os.path.expanduser(given)))  # noqa: PTH100, PTH111
    try:
        url = make_url(given)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise LedgerError(f"TONNE_LEDGER={given.split('@')[-1]!r} is no address: {error}. {_ADDRESSES}") from None
    except ImportError:
        raise MissingPackageError(
            "a ledger in PostgreSQL needs the package pg8000. Install it: pip install 'tonne[postgresql]'"
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername=POSTGRESQL)
    if url.get_backend_name() not in {SQLITE, "postgresql"} or url.get_driver_name() not in {"pysqlite", "pg8000"}:
        raise LedgerError(f"a ledger cannot be kept in {url.drivername}. {_ADDRESSES}")
    return url


_ADDRESSES = "Use a path, sqlite:///path, postgresql+pg8000://user@host/database, or off."


def _why(error: BaseException) -> str:
    """What a driver says, in a line; that of PostgreSQL says it by letters, M for the message."""
    told = error.args[0] if error.args else None
    if isinstance(told, dict):
        return str(told.get("M", told))
    return (str(error).splitlines() or [type(error).__name__])[0]


def _prepare(connection: Any, _: object) -> None:  # noqa: ANN401 - of the driver
    """Readers do not wait for a writer (WAL); what is committed outlives a power cut (FULL)."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        for tried in range(WAL_TRIES):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except Exception as error:
                if "locked" not in str(error) or tried == WAL_TRIES - 1:
                    raise
                time.sleep(WAL_PAUSE_S)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")


def _begin(connection: Connection) -> None:
    """Whoever writes takes the lock at once: what it read could not be written back otherwise."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
