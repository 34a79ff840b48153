"""A machine whose meters tell constant power, so that the energy of any run is power times time."""

from __future__ import annotations

import json
import math
from itertools import accumulate, pairwise
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
    # As where the machine is quiet: a run begins with its first reading, and no thread that stands still is taken for a
    # driver that hangs.
    for name in ("START_PATIENCE_S", "PATIENCE_S"):
        monkeypatch.setattr(f"tonne.measure.collector.{name}", 60.0)


def lines_of(folder: str | Path | None) -> list[dict]:
    """All lines of a run's journal."""
    assert folder is not None
    return [json.loads(line) for file in sorted(Path(folder).glob("*.jsonl")) for line in file.read_text().splitlines()]


def measured_s(folder: str | Path | None, interval_s: float, sensor: int = 0) -> list[float]:
    """For how long a meter was measured up to each reading [s]: gaps of more than three intervals are not bridged."""
    lines = lines_of(folder)
    begun_s = next(line["t"] for line in lines if line.get("kind") == "start") / 1e9  # before it, nothing counts
    ended_s = next((line["t"] for line in lines if line.get("kind") == "leave"), math.inf) / 1e9  # nor after it
    read_s = [line["t"] / 1e9 + line["o"][sensor] / 1e6 for line in lines if line.get("o")]
    read_s = [min(max(at_s, begun_s), ended_s) for at_s in read_s]
    steps = (after - before for before, after in pairwise(read_s))
    return list(accumulate((step if step <= 3 * interval_s else 0.0 for step in steps), initial=0.0))


def measured_j(folder: str | Path | None, interval_s: float) -> list[float]:
    """What all meters measured up to each reading [J], each in its own time."""
    (parts,) = ([of["part"] for of in line["sensors"]] for line in lines_of(folder) if line.get("kind") == "sensors")
    each = [[METERS[part] * s for s in measured_s(folder, interval_s, i)] for i, part in enumerate(parts)]
    return [sum(so_far) for so_far in zip(*each, strict=True)]


def status_of(folder: str | Path | None) -> str | None:
    from tonne.measure.status import status_of as found

    return found(str(folder))
