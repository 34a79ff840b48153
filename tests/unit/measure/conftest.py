"""Synthetic hardware: trees of the kernel's files, and a library that stands in for NVIDIA's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tonne.measure.environment import Roots

HERE = Path(__file__).parent


def _module(name: str):
    """A module beside this file; tests are no package, so that it is loaded by its place."""
    known = sys.modules.get(f"tonne_tests_{name}")
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(f"tonne_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def powercap():
    """The module that builds trees and traces."""
    return _module("powercap")


@pytest.fixture
def tree(powercap, tmp_path):
    """An empty powercap tree whose clock is the test's."""
    return powercap.Tree(tmp_path / "powercap")


@pytest.fixture
def bare(tmp_path) -> Roots:
    """Roots under which there is nothing at all."""
    nowhere = tmp_path / "nowhere"
    return Roots(powercap=nowhere, hwmon=nowhere, proc=nowhere, sys=nowhere)


@pytest.fixture
def read_at_once(monkeypatch) -> None:
    """As where the machine is quiet: a run begins with the first reading, and nobody takes a thread that stands still
    for a driver that hangs."""
    for name in ("START_PATIENCE_S", "PATIENCE_S"):
        monkeypatch.setattr(f"tonne.measure.collector.{name}", 60.0)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory) -> Path:
    """A library that stands in for NVIDIA's, to be preloaded: LD_PRELOAD; TONNE_TEST_NVML names what its boards say."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *flags, "-o", str(library), str(HERE / "nvml.c")], check=True, timeout=60)
    return library


@pytest.fixture
def with_boards(nvml_library, tmp_path):
    """Runs Python code in a process of its own, before boards whose answers are given as lines; what it printed."""
    answers = tmp_path / "boards.txt"

    def run(boards: str, code: str) -> str:
        answers.write_text(textwrap.dedent(boards).lstrip())
        environment = {**os.environ, "LD_PRELOAD": str(nvml_library), "TONNE_TEST_NVML": str(answers)}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(answers)],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
