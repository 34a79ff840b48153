"""Where a ledger is kept: its version is read first, its tables are brought up to date, addresses are checked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from tonne.errors import LedgerError
from tonne.ledger.book import Ledger
from tonne.ledger.migrating import MIGRATIONS
from tonne.ledger.tables import METADATA, REVISION


def in_fresh_interpreter(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tables_of_the_code_are_those_that_the_migrations_make(address):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with Ledger.open(address) as ledger, ledger.store.reading() as connection:
        options = {"version_table": "tonne_version"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "tonne_version"}


def test_revision_of_the_code_is_the_newest_migration():
    names = sorted(path.stem for path in (MIGRATIONS / "versions").glob("revision_*.py"))
    assert names[-1] == f"revision_{REVISION}"


def test_ledger_of_a_newer_version_is_refused_and_left_alone(address, make_run):
    with Ledger.open(address) as ledger:
        ledger.put(make_run("a"))
        head = ledger.head()
        with ledger.store.writing() as connection:
            connection.execute(text("UPDATE tonne_version SET version_num = '9999'"))
    with pytest.raises(
        LedgerError, match=r"written by a newer tonne .*version 9999, this one knows 0001.*Update tonne"
    ):
        Ledger.open(address)
    with ledger.store.writing() as connection:
        assert connection.execute(text("SELECT version_num FROM tonne_version")).scalar() == "9999"
        connection.execute(text("UPDATE tonne_version SET version_num = '0001'"))
    ledger.close()
    with Ledger.open(address) as ledger:
        assert ledger.head() == head


@pytest.mark.slow
def test_alembic_is_loaded_only_where_the_version_differs(tmp_path):
    code = (
        "import sys\nfrom tonne.ledger.book import Ledger\n"
        "Ledger.open(sys.argv[1]).close()\n"
        "print([name for name in ('alembic', 'numpy', 'pydantic') if name in sys.modules])"
    )
    assert "alembic" in in_fresh_interpreter(code, str(tmp_path / "ledger.db"))
    assert in_fresh_interpreter(code, str(tmp_path / "ledger.db")) == "[]"


@pytest.mark.slow
def test_processes_that_open_a_new_ledger_together_make_it_once(address):
    code = "import sys\nfrom tonne.ledger.book import Ledger\nprint(Ledger.open(sys.argv[1]).head()[0])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for one in running:
        out, err = one.communicate(timeout=120)
        assert (one.returncode, out.strip()) == (0, b"0"), err


def test_ledger_shares_its_database_with_others(address):
    """Tables of other programs stay as they are, Alembic's own version table of theirs too."""
    from tonne.ledger.store import Store

    with Ledger.open(address) as ledger, ledger.store.writing() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('abc')"))
    store = Store(address)
    with store.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "abc"
    store.close()


@pytest.mark.parametrize(
    ("address_", "says"),
    [
        ("mysql://me:secret@host/db", "a ledger cannot be kept in mysql"),
        ("nosuch://host/db", "is no address"),
        ("postgresql+psycopg://host/db", r"a ledger cannot be kept in postgresql\+psycopg|needs the package"),
        ("sqlite+aiosqlite:///x", "a ledger cannot be kept in|needs the package"),
        ("/proc/nowhere/ledger.db", "the ledger's folder /proc/nowhere cannot be made"),
        (
            "postgresql+pg8000://me:secret@127.0.0.1:1/db",
            r"me:\*\*\*@127.0.0.1:1/db cannot be used: .*waits in the inbox",
        ),
    ],
)
def test_address_that_cannot_be_is_said_without_its_password(address_, says):
    with pytest.raises(Exception, match=says) as found:
        Ledger.open(address_)
    assert "secret" not in str(found.value)


def test_plain_postgresql_address_means_the_driver_that_there_is():
    from tonne.ledger.store import _url

    assert _url("postgresql://me@host/db").drivername == "postgresql+pg8000"
    assert _url("ledger.db").get_backend_name() == "sqlite"


def test_home_is_where_the_ledger_is_unless_the_environment_says_otherwise(tmp_path, monkeypatch, make_run):
    monkeypatch.setenv("TONNE_LEDGER", f"sqlite:///{tmp_path}/team.db")
    with Ledger.open() as ledger:
        ledger.put(make_run("a"))
        assert ledger.store.shown == f"{tmp_path}/team.db"
    monkeypatch.delenv("TONNE_LEDGER")
    with Ledger.open() as ledger:
        assert ledger.rows() == []
    assert (tmp_path / "team.db").exists()
