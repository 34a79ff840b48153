"""A machine whose meters tell constant power, so that the energy of any run is power times time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CPU_W, MEMORY_W, ACCELERATOR_W = 100.0, 20.0, 300.0
METERS = {"cpu": CPU_W, "memory": MEMORY_W, "accelerator:0": ACCELERATOR_W}


@pytest.fixture(autouse=True)
def _meters(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("meters")
    text = ""
    for part, power_w in METERS.items():
        file = folder / part.replace(":", "-")
        file.write_text(f"{power_w}\n")
        text += f'[[meter]]\nname = "{part}"\npart = "{part}"\nunit = "W"\nfile = "{file}"\nerror_fraction = 0.0\n'
    (folder / "meters.toml").write_text(text)
    monkeypatch.setenv("TONNE_METERS", str(folder / "meters.toml"))
    monkeypatch.setenv("TONNE_RUNTIME", str(folder / "locks"))
    for name in ("TONNE_RUN", "TONNE_RUN_FOLDER"):
        monkeypatch.delenv(name, raising=False)


def lines_of(folder: str | Path | None) -> list[dict]:
    """All lines of a run's journal."""
    assert folder is not None
    return [json.loads(line) for file in sorted(Path(folder).glob("*.jsonl")) for line in file.read_text().splitlines()]


def status_of(folder: str | Path | None) -> str | None:
    from tonne.measure.status import status_of as found

    return found(str(folder))
