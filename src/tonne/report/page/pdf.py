"""The page on paper: printed to PDF by a Chromium-family browser that is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tonne.errors import BrowserError

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge",
    "microsoft-edge-stable", "msedge", "brave-browser", "vivaldi",
)  # fmt: skip
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip
# --no-sandbox: the page is ours and holds no script; containers, where reports are made too, have no sandbox to offer.
LIMIT_S = 120
BY_HAND = "open the HTML report in any browser and print it to a file (Ctrl+P, or Cmd+P on a Mac)"


def browser(named: str | None = None, names: Iterable[str] = NAMES, places: Iterable[str] = PLACES) -> str:
    """The path of a browser: the one that is named, else the first that is installed.

    Raises:
        BrowserError: There is none.
    """
    if named:
        found = shutil.which(named)
        if found is None:
            raise BrowserError(
                f"TONNE_BROWSER={named!r} is no program. Give the path of Chromium, Chrome or Edge; or {BY_HAND}."
            )
        return found
    installed = [path for name in names if (path := shutil.which(name))]
    installed += [path for path in places if Path(path).is_file()]
    if not installed:
        raise BrowserError(
            f"PDF needs Chromium, Chrome or Edge, and none is installed. Install one, or name it with TONNE_BROWSER; "
            f"or write --format html, {BY_HAND}."
        )
    return installed[0]


def pdf(page: str, output: Path, program: str) -> None:
    """Print a page's HTML to a PDF file.

    Raises:
        BrowserError: The browser could not print it.
    """
    with tempfile.TemporaryDirectory(prefix="tonne-print-", ignore_cleanup_errors=True) as folder:
        source, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        source.write_text(page, encoding="utf-8")
        command = [program, *QUIET, f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        command += [f"--print-to-pdf={printed}", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
            told = done.stderr.strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            told = [f"it took more than {LIMIT_S} s"]
        except OSError as error:
            told = [str(error)]
        if not printed.is_file() or not printed.stat().st_size:
            reason = "; ".join(told) or "it said nothing"
            raise BrowserError(
                f"{program} did not print the page: {reason}. Name another with TONNE_BROWSER; or {BY_HAND}."
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(printed, output)
