"""Text that needs no download: what the Python interpreter says about itself, about 2 MB of English.

Two parts: the docstrings of the standard library, read from its source files without running them, and the reference
pages behind `help()` (`pydoc_data.topics`). Both are under the licence of the Python Software Foundation. The order is
that of the modules' names, so that one version of the interpreter gives one corpus.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path

from tonne.errors import DataError

# Tests describe tests. The applications and the old grammar are packages of their own on many systems: without them the
# corpus is the same on more machines.
LEFT_OUT = {"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages"}
SMALLEST_CORPUS_BYTES = 500_000  # half of this and a model learns nothing worth looking at
PAGE_CHARACTERS = (
    2048  # a document is a page of one module: long enough for a context, short enough to hold out a tenth
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstring:
    """One docstring, or one topic of the reference."""

    module: str
    name: str  # within the module, e.g. "Path.resolve"; empty for the module itself
    kind: str  # "module", "class", "function" or "topic"
    text: str
    arguments: tuple[str, ...] = ()  # names of a function's, without that of the object it is of

    @property
    def heading(self) -> str:
        """What it is about, as a reference prints it: ``Path.resolve(strict)``; of a topic nothing."""
        if self.kind == "topic":
            return ""
        called = f"({', '.join(self.arguments)})" if self.kind == "function" else ""
        return f"{self.name or self.module}{called}"


@cache
def built_in_corpus(library: Path | None = None) -> tuple[Docstring, ...]:
    """Every docstring of the standard library, then every topic, in the order of their names.

    Args:
        library: Folder of the standard library; left out, that of this interpreter.

    Raises:
        DataError: The interpreter was installed without most of it; the text says what is missing.
    """
    folder = library or Path(sysconfig.get_paths()["stdlib"])
    found = [docstring for file in source_files(folder) for docstring in docstrings_of(file, folder)]
    found += topics()
    size_bytes = sum(len(docstring.text.encode()) for docstring in found)
    if size_bytes < SMALLEST_CORPUS_BYTES:
        raise DataError(_what_is_missing(folder, found, size_bytes))
    return tuple(found)


def pages(docstrings: Sequence[Docstring]) -> Iterator[tuple[str, str]]:
    """Name and text of each page: docstrings of one module one after the other, about two thousand characters."""
    for module, of_module in groupby(docstrings, key=lambda docstring: docstring.module):
        held: list[str] = []
        size = 0
        for part in (part for docstring in of_module for part in _parts(docstring.text)):
            if held and size + len(part) > PAGE_CHARACTERS:
                yield module, "\n\n".join(held)
                held, size = [], 0
            held.append(part)
            size += len(part) + 2
        yield module, "\n\n".join(held)


def source_files(library: Path) -> list[Path]:
    """The source files of the standard library that count, in order."""
    files = (path for path in library.rglob("*.py") if not LEFT_OUT & set(path.relative_to(library).parts))
    return sorted(files, key=lambda path: path.relative_to(library).as_posix())


def docstrings_of(file: Path, library: Path) -> list[Docstring]:
    """The docstrings of one source file, in the order in which they stand in it."""
    module = ".".join(file.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # templates and files for other versions: not what we are after
        return []
    return list(_docstrings_in(tree, module, ""))


def topics() -> list[Docstring]:
    """The reference pages behind `help("topic")`; none where they were not installed."""
    try:
        found: dict[str, str] = import_module("pydoc_data.topics").topics
    except (ImportError, AttributeError):
        return []
    return [
        Docstring(module="pydoc_data.topics", name=name, kind="topic", text=text.strip())
        for name, text in sorted(found.items())
        if text.strip()
    ]


def _docstrings_in(node: ast.AST, module: str, name: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text and text.strip():
            yield Docstring(module=module, name=name, kind=_kind(node), text=text.strip(), arguments=_arguments(node))
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else ""
        yield from _docstrings_in(child, module, f"{name}.{inner}".strip("."))


def _kind(node: ast.AST) -> str:
    if isinstance(node, ast.Module):
        return "module"
    return "class" if isinstance(node, ast.ClassDef) else "function"


def _arguments(node: ast.AST) -> tuple[str, ...]:
    """Names of a function's arguments; none of anything else."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ()
    given = node.args
    several = [argument for argument in (given.vararg, given.kwarg) if argument is not None]
    found = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, *several)]
    return tuple(name for place, name in enumerate(found) if place or name not in {"self", "cls"})


def _parts(text: str) -> list[str]:
    """The paragraphs of a text; of a short text, the text itself."""
    return [text] if len(text) <= PAGE_CHARACTERS else [part for part in text.split("\n\n") if part.strip()]


def _what_is_missing(library: Path, found: list[Docstring], size_bytes: int) -> str:
    files = len(source_files(library))
    missing = [] if any(docstring.kind == "topic" for docstring in found) else ["the topics of help() (pydoc_data)"]
    if files == 0:
        missing.append(f"the source files of the standard library under {library} (only compiled ones, or a zip)")
    elif not any(docstring.kind != "topic" for docstring in found):
        missing.append(f"the docstrings of the {files} source files under {library}")
    return (
        f"source = 'builtin' is the documentation that Python carries, but this interpreter ({sys.executable}) has "
        f"only {size_bytes:,} bytes of it. Missing: {' and '.join(missing) or 'most modules'}. Some distributions "
        f"strip it: install their full Python (Debian, Ubuntu: apt-get install libpython3-stdlib), use one from "
        f"python.org, or give text of your own as source."
    )
