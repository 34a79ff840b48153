"""What all tests share: a seed, a home of their own, and no accelerator unless there is one."""

from __future__ import annotations

import gc
import random
import re
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("tonne", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("tonne"), max_examples=20)  # `make check`; `make test`: 100
settings.load_profile("tonne")
# A file that one process begins last keeps the others waiting: these take 20 to 140 s of processor, others less.
LONGEST = {
    file: place
    for place, file in enumerate((
        "unit/train/test_distribution.py",
        "unit/ledger/test_ledger.py",
        "unit/cli/test_train_command.py",
        "unit/report/test_page_in_a_browser.py",
        "parity/test_huggingface_experts.py",
        "parity/test_huggingface_encoders.py",
        "unit/train/test_killed_runs.py",
        "test_documentation.py",
        "unit/train/test_fit.py",
        "unit/workflow/test_running.py",
        "unit/cli/test_run_command.py",
    ))
}  # fmt: skip
# As in a shell's background; programs that tests start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
WHOLLY_SLOW = re.compile(r"^pytestmark = pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, a file that has no other is not read: each process would import what it needs."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return bool(WHOLLY_SLOW.search(collection_path.read_text(encoding="utf-8"))) or None


def pytest_collection_finish() -> None:
    """What was imported stays: a million objects need not be looked through each time that garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_seed_for_every_test() -> None:
    random.seed(20260101)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, one after the other: pytest's own numbering reads all that there are, for every test anew."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in count())


@pytest.fixture(autouse=True)
def _home_of_its_own(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own data folder, or meets runs that go on beside it."""
    for name in ("TONNE_HOME", "TONNE_RUNTIME"):
        folder = next(_homes)
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def write_store(tmp_path: Path):
    """Writes documents of ids as a token store, a token of each standing for four bytes, and opens it."""

    def write(documents, *, fields=("text",), vocabulary=1000, name="store", **special):
        import numpy as np

        from tonne.train.special_tokens import SpecialTokens
        from tonne.train.store import open_store
        from tonne.train.store_writer import StoreWriter

        with StoreWriter(tmp_path / name, {}, largest_possible=vocabulary - 1) as writer:
            for document in documents:
                writer.add(np.array(document, dtype=np.uint32), 4 * len(document))
            writer.finish(
                {
                    "fields": list(fields),
                    "vocabulary": vocabulary,
                    "vocabulary_hash": "none",
                    "special": SpecialTokens(**special).as_dict(),
                    "sources": [],
                }
            )
        return open_store(tmp_path / name)

    return write


@pytest.fixture
def _patient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that looks at its account at every step, the first time until there is one: 20 steps may be faster."""
    from tonne.workflow.metering import Metering

    look = Metering._look

    def patient(self, now_s):
        until = time.monotonic() + 60.0
        look(self, now_s)
        while not any(kwh > 0 for _, kwh in self.energy) and time.monotonic() < until:
            time.sleep(0.01)
            look(self, now_s)

    monkeypatch.setattr("tonne.workflow.metering.WATCHFUL_PAUSE_S", 0.0)
    monkeypatch.setattr(Metering, "_look", patient)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first; tests marked `gpu` are left out where torch sees no accelerator."""
    items.sort(key=lambda item: LONGEST.get(item.nodeid.partition("::")[0].removeprefix("tests/"), len(LONGEST)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no accelerator on this machine"))


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
