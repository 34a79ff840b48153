"""The public names of the room: functions and classes, whatever was imported before."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_no_public_name_is_a_module_even_after_every_file_was_imported():
    code = """
import importlib, pkgutil, types, tonne.train
for found in pkgutil.walk_packages(tonne.train.__path__, "tonne.train."):
    importlib.import_module(found.name)
files = {found.name for found in pkgutil.iter_modules(tonne.train.__path__)}
assert not files & set(tonne.train.__all__), files & set(tonne.train.__all__)
for name in tonne.train.__all__:
    assert callable(getattr(tonne.train, name)), name
assert set(tonne.train.__all__) <= set(dir(tonne.train))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_importing_the_room_loads_no_torch():
    code = "import sys, tonne.train; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
