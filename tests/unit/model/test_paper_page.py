"""The page "from the paper to the code" names lines that exist, the same in both languages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("docs/from-paper-to-code.md", "docs/from-paper-to-code.zh-CN.md")


def named(page):
    """(file, symbol) of each code span such as `src/tonne/model/cache.py:Cache`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"`(src/tonne/[\w/]+\.py)(?::([\w.]+))?`", text)


@cache
def symbols_of(file):
    """Names of a file's functions, classes and their methods."""
    found = {""}
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_line_named_is_there(page):
    assert len(named(page)) > 30
    for file, symbol in named(page):
        assert (ROOT / file).is_file(), f"{page} names {file}, which is not there"
        assert symbol in symbols_of(file), f"{page} names {symbol}, which {file} does not have"


def test_both_languages_name_the_same_lines_in_the_same_order():
    assert named(PAGES[0]) == named(PAGES[1])


@pytest.mark.parametrize("page", PAGES)
def test_all_of_the_textbook_is_on_the_page(page):
    on_page = {symbol.split(".")[0] for file, symbol in named(page) if file.endswith("textbook.py")} - {""}
    all_of_it = {name for name in symbols_of("src/tonne/model/textbook.py") if name and "." not in name}
    assert on_page == all_of_it
