"""What all tests share: a seed, a home of their own, and no accelerator unless there is one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("tonne", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tonne")


@pytest.fixture(autouse=True)
def _same_seed_for_every_test() -> None:
    random.seed(20260101)


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own data folder, or meets runs that go on beside it."""
    monkeypatch.setenv("TONNE_HOME", str(tmp_path_factory.mktemp("tonne-home")))
    monkeypatch.setenv("TONNE_RUNTIME", str(tmp_path_factory.mktemp("tonne-runtime")))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


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
