"""Where no browser prints, the error says how to print."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tonne.errors import BrowserError
from tonne.report.page.pdf import browser, pdf

BY_HAND = "open the HTML report in any browser and print it"


def test_without_a_browser_the_error_says_how_to_print():
    with pytest.raises(BrowserError, match=f"none is installed.*TONNE_BROWSER.*--format html, {BY_HAND}"):
        browser(names=("no-such-browser-here",), places=())


def test_a_named_browser_that_is_none_is_an_error():
    with pytest.raises(BrowserError, match="TONNE_BROWSER='no-such-browser-here' is no program"):
        browser("no-such-browser-here")


def test_the_first_that_is_installed_is_taken():
    assert Path(browser(names=("no-such-browser-here", "sh"), places=())).name == "sh"
    assert browser(names=(), places=("/no/such/place", sys.executable)) == sys.executable


def test_a_browser_that_prints_nothing_is_an_error(tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho cannot open display >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(BrowserError, match=f"did not print the page: cannot open display. .*{BY_HAND}"):
        pdf("<p>text</p>", tmp_path / "report.pdf", str(program))
    assert not (tmp_path / "report.pdf").exists()


def test_a_browser_that_is_no_program_is_an_error(tmp_path):
    with pytest.raises(BrowserError, match="did not print the page"):
        pdf("<p>text</p>", tmp_path / "report.pdf", str(tmp_path / "gone"))
