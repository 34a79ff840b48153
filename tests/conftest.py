"""What all tests share: a seed, a home of their own, and no accelerator unless there is one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("tonne", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tonne")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are left out where torch sees no accelerator."""
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
