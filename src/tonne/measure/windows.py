"""Windows of a run and calls of a decorated function: what `with meter.window(name)` opens and closes."""

from __future__ import annotations

import time

from tonne.measure.spans import between

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tonne.measure.meter import Meter
    from tonne.measure.spans import Sums

CALLS = "calls"  # window of a decorated function's calls


class Window:
    """A stretch of time of a run that has a name."""

    __slots__ = ("_begun_ns", "_meter", "_sums", "name")

    def __init__(self, meter: Meter, name: str) -> None:
        """A window that is not open yet."""
        self._meter, self.name = meter, name
        self._begun_ns = 0
        self._sums: Sums | None = None

    def open(self) -> Window:
        """Begin."""
        self._meter._join_after_fork()
        self._begun_ns = time.monotonic_ns()
        collector = self._meter._collector
        self._sums = None if collector is None else collector.sums(self._begun_ns)
        return self

    def close(self) -> None:
        """End; a second call does nothing."""
        begun_ns, self._begun_ns = self._begun_ns, 0
        collector = self._meter._collector
        if not begun_ns or collector is None:
            return
        ended_ns = time.monotonic_ns()
        all_ns = max(ended_ns - self._meter._begun_ns, 1)
        sums = between(self._sums, collector.sums(ended_ns), (ended_ns - begun_ns) / all_ns)
        collector.add_span(self.name, begun_ns, ended_ns, sums)

    def __enter__(self) -> Window:
        """Begin."""
        return self.open()

    def __exit__(self, *_: object) -> None:
        """End."""
        self.close()


class Call:
    """One call of a decorated function."""

    __slots__ = ("_meter", "_window")

    def __init__(self, meter: Meter) -> None:
        """A call that has not begun."""
        self._meter = meter
        self._window = Window(meter, CALLS)

    def __enter__(self) -> None:
        """Begin; the first call starts the meter."""
        with self._meter._mutex:
            self._meter._calls += 1
            if not self._meter._running and not self._meter._inherited:
                self._meter.start()
        self._window.open()

    def __exit__(self, *_: object) -> None:
        """End; the meter goes on for a while, as the next call may come soon."""
        self._window.close()
        with self._meter._mutex:
            self._meter._calls = max(self._meter._calls - 1, 0)
            self._meter._last_call_ns = time.monotonic_ns()


def main_window(folder: str) -> str | None:
    """The window that is the run in a folder, where a decorated function's calls are all that counts."""
    from tonne.measure.status import headers  # noqa: PLC0415 - only for a run that is over

    return CALLS if any(header.get("calls") for _, header in headers(folder)) else None
