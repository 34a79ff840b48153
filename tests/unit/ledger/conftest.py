"""Ledgers in both stores, and runs to keep in them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.estimate import Basis, Estimate
from tonne.ledger.book import Ledger
from tonne.ledger.records import MEASURED, Run

NOBODY = 65534
PATIENCE_S = 60.0


def _server_programs() -> Path | None:
    """Where the programs of a PostgreSQL server lie."""
    known = [Path(found).parent for found in [shutil.which("initdb")] if found]
    asked = shutil.which("pg_config")
    if asked:
        done = subprocess.run([asked, "--bindir"], capture_output=True, text=True, check=False)
        known.append(Path(done.stdout.strip()))
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in known if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


class Server:
    """A PostgreSQL server of this test session's own, in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        self._databases = 0

    def call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments], check=True, cwd="/", timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._user,
        )  # fmt: skip

    def make(self) -> None:
        self.call("initdb", "-D", str(self.folder), "-U", "tonne", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self.call("pg_ctl", "-D", str(self.folder), "-o", options, "-w", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self.call("pg_ctl", "-D", str(self.folder), "-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"ledger{self._databases}"
        place = f"postgresql+pg8000://tonne@127.0.0.1:{self.port}"
        engine = create_engine(f"{place}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return f"{place}/{name}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server; where there are no programs of one, the test is skipped, or fails where it must not be."""
    programs = _server_programs()
    if programs is None:
        if os.environ.get("TONNE_REQUIRE_SERVICES") == "1":
            pytest.fail("no PostgreSQL server is installed (Debian, Ubuntu: apt-get install postgresql)")
        pytest.skip("no PostgreSQL server is installed")
    root = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp"))  # nobody may not enter pytest's own folders
    folder = root / f"tonne-pg-{os.getpid()}-{time.time_ns():x}"
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    found = Server(programs, folder)
    try:
        found.make()
        found.start()
        yield found
    finally:
        try:
            found.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, in either store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("server").new_database()


@pytest.fixture
def ledger(address: str) -> Iterator[Ledger]:
    """An empty ledger, in either store."""
    with Ledger.open(address) as found:
        yield found


def account_of(kwh: float = 2.0, *, kgco2e: float | None = 0.5, duration_s: float = 3600.0) -> Account:
    """An account whose intervals are a tenth to either side."""

    def about(value: float | None) -> Estimate | None:
        return None if value is None else Estimate(
            value=value, low=0.9 * value, high=1.1 * value, basis=Basis.MEASURED, sources=("a meter",)
        )  # fmt: skip

    return Account(
        duration_s=Estimate.exact(duration_s),
        accelerator_hours=Estimate.exact(duration_s / 3600),
        throughput=Throughput(),
        energy=EnergyUse(it_kwh=about(kwh), facility_kwh=about(kwh), measured_kwh=about(kwh / 2), coverage=0.5),
        carbon=Carbon(operational_location_kgco2e=about(kgco2e)),
        water_l=None,
        cost_usd=None,
        development=None,
        uncertainty={},
        data_version="1",
    )


def run_of(run: str, **fields) -> Run:
    """A measured run."""
    given = {"name": run, "kind": MEASURED, "status": "finished", "begun_unix_s": 1000.0, "account": account_of()}
    return Run(id=run, **{**given, **fields})


@pytest.fixture
def make_run():
    """Makes a measured run of an id."""
    return run_of


@pytest.fixture
def make_account():
    """Makes an account."""
    return account_of
