"""Windows of a run and calls of a decorated function: what `with meter.window(name)` opens and closes."""

from __future__ import annotations

import time

from tonne.measure.spans import between

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tonne.measure.collector import Collector
    from tonne.measure.meter import Meter
    from tonne.measure.spans import Sums

CALLS = "calls"  # window of a decorated function's calls


class Opened:
    """One opening of a window, up to its end or to a pause of the run."""

    __slots__ = ("begun_ns", "collector", "is_new", "name", "sums")

    def __init__(self, name: str, collector: Collector | None) -> None:
        """Begin."""
        self.name = name
        self.is_new = True  # it is not counted yet
        self.go_on(collector)

    def go_on(self, collector: Collector | None) -> None:
        """Begin, or begin again after a pause."""
        self.collector = collector
        self.begun_ns = time.monotonic_ns()
        self.sums: Sums | None = None
        if collector is not None:
            self.sums = collector.sums(self.begun_ns)
            collector.windows.begin(self)

    def end(self, now: Collector | None) -> None:
        """Add what went on since; nothing where the run stands still, or is another process's."""
        collector = self.collector
        if collector is None or collector is not now:
            return
        ended_ns = time.monotonic_ns()
        all_ns = max(ended_ns - collector.begun_ns, 1)
        sums = between(self.sums, collector.sums(ended_ns), (ended_ns - self.begun_ns) / all_ns)
        collector.windows.end(self, ended_ns, sums)
        self.is_new, self.collector = False, None


class Window:
    """A stretch of time of a run that has a name. It may be open several times at once, as a function that recurs."""

    __slots__ = ("_meter", "_opened", "name")

    def __init__(self, meter: Meter, name: str) -> None:
        """A window that is not open yet."""
        self._meter, self.name = meter, name
        self._opened: list[Opened] = []

    def open(self) -> Window:
        """Begin."""
        self._meter.join_after_fork()
        self._opened.append(Opened(self.name, self._meter.collector))
        self._meter.open_windows.add(self)
        return self

    def close(self) -> None:
        """End what was opened last; a second call does nothing."""
        try:
            opened = self._opened.pop()
        except IndexError:
            return
        if not self._opened:
            self._meter.open_windows.discard(self)
        opened.end(self._meter.collector)

    def cut(self) -> None:
        """The run stands still: add what was so far."""
        for opened in tuple(self._opened):
            opened.end(self._meter.collector)

    def go_on(self) -> None:
        """The run goes on, and so does what was open."""
        for opened in tuple(self._opened):
            opened.go_on(self._meter.collector)

    def __enter__(self) -> Window:
        """Begin."""
        return self.open()

    def __exit__(self, *_: object) -> None:
        """End."""
        self.close()


def main_window(folder: str) -> str | None:
    """The window that is the run in a folder, where a decorated function's calls are all that counts."""
    from tonne.measure.status import headers  # noqa: PLC0415 - only for a run that is over

    return CALLS if any(header.get("calls") for _, header in headers(folder)) else None
