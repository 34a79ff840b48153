"""What a process writes into its journal of its windows: what those that ended took, and which ones are open."""

from __future__ import annotations

import time
from threading import RLock

from tonne.measure.spans import Spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tonne.measure.spans import Sums
    from tonne.measure.windows import Opened

NS_PER_S = 1e9


class WindowLines:
    """The windows of one process, in whatever thread they begin and end; also in a handler of signals."""

    def __init__(self, is_due: Callable[[], bool], spans: dict[str, Spans] | None = None) -> None:
        """No window, or those that ended before a pause.

        Args:
            is_due: Whether windows that another process adds up, by their times, are to be written again.
            spans: By name, of the windows that ended before.
        """
        self.spans: dict[str, Spans] = {} if spans is None else spans
        self._is_due = is_due
        self._mutex = RLock()
        self._changed: set[str] = set()
        self._opened: set[Opened] = set()
        self._told: list[list[Any]] = []  # of those that are open

    @property
    def are_used(self) -> bool:
        """Whether one is open, or was."""
        return bool(self._opened or self.spans)

    def begin(self, opened: Opened) -> None:
        """A window is open."""
        self._opened.add(opened)

    def end(self, opened: Opened, ended_ns: int, sums: Sums | None) -> None:
        """Take in a window that ended, or a part of one; it is written with the next tick."""
        with self._mutex:
            spans = self.spans.setdefault(opened.name, Spans())
            spans.add(opened.begun_ns, ended_ns, sums, is_new=opened.is_new)
            self._changed.add(opened.name)
            self._opened.discard(opened)

    def new(self, long_s: float, *, all_of_it: bool) -> list[dict[str, Any]]:
        """Lines about those that ended since the last ones, and those that are open: a kill would lose them.

        Args:
            long_s: Windows that are open for less than that are not worth a line [s].
            all_of_it: Also of those that another process adds up, though they are not due.
        """
        if not (self._changed or self._opened or self._told):
            return []
        found: list[dict[str, Any]] = []
        with self._mutex:
            since_ns = time.monotonic_ns() - long_s * NS_PER_S
            old = sorted((one for one in tuple(self._opened) if one.begun_ns < since_ns), key=lambda one: one.begun_ns)
            still_open = [[one.name, one.begun_ns, one.is_new] for one in old]
            all_of_it = all_of_it or any(one not in still_open for one in self._told)
            for kind, names in self._kinds(all_of_it=all_of_it):
                found.append({"kind": kind, "windows": {name: self.spans[name].line() for name in names}})
                for name in names:
                    self.spans[name].written()
                self._changed -= names
        if still_open != self._told:
            found.append({"kind": "open", "windows": still_open})
            self._told = still_open
        return found

    def all(self) -> dict[str, Any]:
        """A line about all that ended."""
        with self._mutex:
            return {"kind": "windows", "windows": {name: one.line() for name, one in self.spans.items()}}

    def _kinds(self, *, all_of_it: bool) -> list[tuple[str, set[str]]]:
        """Kind of line and names: windows with sums of their own; those without, which are added up by their times."""
        summed = {name for name in self._changed if not self.spans[name].loose_s}
        loose = self._changed - summed
        if loose and not (self._is_due() or all_of_it):
            loose = set()
        return [(kind, names) for kind, names in (("windows", summed), ("loose", loose)) if names]
