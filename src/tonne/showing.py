"""How a result finds who draws it in a notebook or a terminal: by name, and only when it is asked (decision 0080)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

DRAWER = "tonne.report.drawing"  # above every room that makes results; the one room that is known by name from below


class Shown:
    """A result that shows itself as a table: HTML in a notebook, rich in a terminal."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        shown: str = import_module(DRAWER).html_of(self)
        return shown

    def __rich__(self) -> Any:  # noqa: ANN401 - what rich can print; rich is not loaded here
        """What `rich.print` shows."""
        return import_module(DRAWER).rich_of(self)
