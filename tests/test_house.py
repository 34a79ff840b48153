"""The house holds: floors, light imports, public names, citation keys, documented commands."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tonne"
FLOORS = [
    {"errors"},  # the ground: reading a quantity (units) may fail
    {"units", "documents", "showing"},
    {"estimate"},
    {"reference"},
    {"describe"},
    {"count", "grid"},
    {"timing"},
    {"energy"},
    {"impact"},
    {"account"},
    {"forecasting", "measure", "model"},
    {"train"},
    {"ledger"},
    {"validation", "reconcile", "calibrate", "planning"},
    {"workflow"},
    {"report"},
    {"integrations"},
    {"server"},
    {"cli"},
    {"__main__"},  # python -m tonne
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OWN_WORK = {"tonne"}  # cites a page of docs/method, not somebody else's table
TRAIN_MAY_IMPORT = {"model", "count", "describe", "estimate", "units", "errors"}
TORCH_ROOMS = {"model", "train", "integrations"}
TORCH_MODULES = {"torch", "safetensors", "tokenizers", "transformers"}
HEAVY = ("numpy", "pydantic", "typer", "rich", "torch", "altair")
KEY = re.compile(r"^[a-z][a-z0-9_.-]*$")

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
ROOMS = sorted({path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES})
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def files_of(room: str) -> list[Path]:
    return [path for path in FILES if room_of(path) == room]


class Facts(NamedTuple):
    """What the tests below ask of a file."""

    modules: set[str]  # imported, dotted; of `from tonne import a`, `tonne.a`
    functions: list[tuple[str, int]]  # name, lines without the docstring
    docstrings: list[str]


@cache  # parsing takes longer than all questions
def facts(path: Path) -> Facts:
    found = Facts(set(), [], [])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.modules.update(modules_named_by(node, path))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            found.docstrings.append(docstring)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if docstring and len(node.body) > 1 else node.body
                lines = (node.end_lineno or node.lineno) - body[0].lineno + 1
                found.functions.append((node.name, lines))
    return found


def modules_named_by(node: ast.ImportFrom, path: Path) -> set[str]:
    assert node.level == 0, f"{name_of(path)}:{node.lineno}: import absolutely, 'from tonne...'"
    module = node.module or ""
    return {f"tonne.{alias.name}" for alias in node.names} if module == "tonne" else {module}


def rooms_imported_by(path: Path) -> set[str]:
    inside = {module.split(".")[1] for module in facts(path).modules if module.startswith("tonne.")}
    return inside - {"__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    assert room in FLOOR_OF, f"'{room}' stands on no floor: add it to FLOORS"
    for path in files_of(room):
        for other in rooms_imported_by(path) - {room}:
            assert other in FLOOR_OF, f"{name_of(path)} imports tonne.{other}, which is no room"
            assert FLOOR_OF[other] < FLOOR_OF[room], f"{name_of(path)}: {room} may not import {other}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_above_are_not_known_by_name_either(room):
    """`showing.py` alone finds its drawer by name (decision 0080)."""
    for path in files_of(room):
        named = set(re.findall(r"""["']tonne\.([a-z]+)(?:\.[a-z_.]+)?["']""", path.read_text(encoding="utf-8")))
        for other in named & set(FLOOR_OF) if path.name != "showing.py" else ():
            assert FLOOR_OF[other] <= FLOOR_OF[room], f"{name_of(path)} names tonne.{other}, which stands above it"


@pytest.mark.parametrize("room", ROOMS)
def test_torch_stays_in_the_rooms_that_train(room):
    for path in files_of(room):
        outside = {module.split(".")[0] for module in facts(path).modules}
        assert room in TORCH_ROOMS or not outside & TORCH_MODULES, name_of(path)


def test_train_imports_only_what_it_needs():
    for path in FILES:
        if room_of(path) == "train":
            assert rooms_imported_by(path) - {"train"} <= TRAIN_MAY_IMPORT, name_of(path)


@pytest.mark.parametrize("room", ROOMS)
def test_files_and_functions_stay_short(room):
    for path in files_of(room):
        length = len(path.read_text(encoding="utf-8").splitlines())
        assert length <= 400, f"{name_of(path)} is too long: split it by question"
        for name, lines in facts(path).functions:
            assert lines <= 50, f"{name_of(path)}: {name} has {lines} lines without its docstring"


def in_fresh_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_of_tonne_loads_nothing_heavy():
    code = f"import sys, tonne; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_fresh_interpreter(code).strip() == "[]"


@pytest.mark.slow
def test_no_public_name_is_a_module_even_after_every_room_was_imported():
    code = """
import importlib, pkgutil, types, tonne
for found in pkgutil.walk_packages(tonne.__path__, "tonne."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
rooms = {found.name for found in pkgutil.iter_modules(tonne.__path__)}
assert not rooms & set(tonne.__all__), rooms & set(tonne.__all__)
for name in tonne.__all__:
    thing = getattr(tonne, name)
    assert not isinstance(thing, types.ModuleType), name
    assert name == "__version__" or callable(thing), name
assert set(tonne.__all__) <= set(dir(tonne))
"""
    if any(room_of(path) in TORCH_ROOMS for path in FILES):
        pytest.importorskip("torch")
    in_fresh_interpreter(code)


def test_unknown_public_name_says_what_there_is():
    import tonne

    with pytest.raises(AttributeError, match=r"no attribute 'forecats'\. Public names: Account, .*forecast"):
        tonne.forecats  # noqa: B018  # the access is the test


def test_version_is_that_of_the_package():
    import tonne

    assert f'version = "{tonne.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def cited_keys(docstring: str) -> list[str]:
    """The keys of `Source: key, locator; other_key, locator`, up to the end of the paragraph."""
    keys: list[str] = []
    for block in re.findall(r"^\s*Sources?: (.+?)(?=\n\s*\n|\Z)", docstring, flags=re.MULTILINE | re.DOTALL):
        keys += [part.split(",")[0].strip().rstrip(".") for part in block.split(";")]
    return keys


@cache
def known_sources() -> set[str]:
    with (SOURCE / "reference" / "tables" / "sources.csv").open(encoding="utf-8", newline="") as file:
        return {row["key"] for row in csv.DictReader(file)}


def test_keys_of_a_citation_are_read_up_to_its_end():
    docstring = "One line.\n\nSource: chowdhery2022palm, Appendix B;\n    korthikanti2022, equation 4.\n\nMore; text."
    assert cited_keys(docstring) == ["chowdhery2022palm", "korthikanti2022"]


@pytest.mark.parametrize("room", ROOMS)
def test_cited_source_is_known(room):
    known = known_sources() | OWN_WORK
    for path in files_of(room):
        for key in {key for text in facts(path).docstrings for key in cited_keys(text)}:
            where = name_of(path)
            assert KEY.match(key), f"{where}: '{key}' is no citation key; write 'Source: key, equation or table'"
            assert key in known, f"{where} cites '{key}', which is not in sources.csv: add its row"


def documented_commands() -> list[tuple[str, tuple[str, ...]]]:
    """Each `tonne ...` and `make ...` line of the console blocks of the pages, comments and output left out."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|bash|sh)[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            typed = [line for line in lines if line.startswith("$ ")] or lines  # with prompts, the rest is output
            for line in typed:
                words = line.removeprefix("$ ").split("#")[0].split()
                if words and words[0] in {"tonne", "make"}:
                    found.append((name_of(page), tuple(words)))
    return sorted(set(found))


@cache
def known_tonne_commands() -> set[str]:
    from typer.main import get_command

    from tonne.cli.main import app

    return set(getattr(get_command(app), "commands", {}))


def known_make_targets() -> set[str]:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"help", *targets}


@pytest.mark.parametrize(("page", "words"), documented_commands(), ids=lambda part: str(part))
def test_documented_command_exists(page, words):
    target = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
    known = known_tonne_commands() if words[0] == "tonne" else known_make_targets()
    assert target is None or target in known, f"{page}: {' '.join(words)}: no such command; there are {sorted(known)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}, which is not there"
