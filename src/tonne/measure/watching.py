"""A run's meter as a training loop uses it: a start, steps, named parts, an end. All bridges to loops stand on it.

Nothing here raises into the loop, and nothing speaks unless a measurement fails: it behaves the same on every rank.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.errors import MeasurementError
from tonne.measure.meter import track

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.estimate import Estimate
    from tonne.measure.meter import Meter
    from tonne.measure.progress import Expected
    from tonne.measure.windows import Window

LOGGER = logging.getLogger(__name__)
SHORTEST_PAUSE_S = 10.0  # between two accounts made for a log
SHARE_OF_TIME = 0.01  # of a run that accounts for its log may take, however long its journal is
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"


class Watch:
    """Measures one run of a loop at a time; the meter begins with the loop and ends with it.

    Args:
        name: What the run is called; left out, the script's name.
        site: Where it runs, as of `tonne.track`.
        interval_s: Time between two readings [s].
        folder: Of the run's journal.
        labels: Project, purpose and tags, as of `tonne.track`.
        meter: One that the caller has: it is started where it does not run yet, and the caller stops it.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        site: Any = None,  # noqa: ANN401 - whatever tonne.track takes
        interval_s: float = 1.0,
        folder: str | Path | None = None,
        meter: Meter | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        """A watch that does nothing yet."""
        self._options: dict[str, Any] = {"name": name, "site": site, "interval_s": interval_s, "folder": folder}
        self._options |= labels or {}
        self._is_ours = meter is None
        self.meter: Meter | None = meter
        self.is_on = False
        self._windows: dict[str, Window] = {}
        self._total_steps: int | None = None
        self._columns: dict[str, float] = {}
        self._next_account_s = 0.0

    def call_if_unnamed(self, name: str | None) -> None:
        """The name that a loop has for its run, where the user gave none."""
        self._options["name"] = self._options["name"] or name or None

    def begin(self, total_steps: int | None = None) -> None:
        """Begin a run; one that was never ended was broken off, and is closed as failed."""
        if self.is_on:
            self.end(FAILED)
        if self.meter is None or self._is_ours:
            self.meter = track(**self._options)
        assert self.meter is not None
        self.meter.start()
        self.is_on = True
        self._total_steps = total_steps
        self._columns, self._next_account_s = {}, time.monotonic() + SHORTEST_PAUSE_S

    def expect(self, total_steps: int | None) -> None:
        """How many steps the run will take, where its beginning did not know."""
        self._total_steps = total_steps

    def step(self, step: int, tokens: int | None = None) -> None:
        """Say how far the run is.

        Args:
            step: Steps taken since its beginning.
            tokens: Trained on so far.
        """
        if self.is_on and self.meter is not None:
            self.meter.progress(step, total_steps=self._total_steps, tokens=tokens)

    def open_part(self, name: str) -> None:
        """Begin a named part of the run, such as an epoch; one that is open goes on."""
        if self.is_on and self.meter is not None and name not in self._windows:
            self._windows[name] = self.meter.window(name).open()

    def close_part(self, name: str) -> None:
        """End a named part; what is not open stays so."""
        window = self._windows.pop(name, None)
        if window is not None:
            window.close()

    def end(self, status: str = FINISHED, error: BaseException | None = None) -> None:
        """End the run; a second call does nothing.

        Args:
            status: "finished", "failed" or "stopped".
            error: What ended it.
        """
        if not self.is_on:
            return
        for name in list(self._windows):
            self.close_part(name)
        self.is_on = False
        if self._is_ours and self.meter is not None:
            self.meter.stop(status, error=None if error is None else type(error).__name__)

    def columns(self, *, now: bool = False) -> dict[str, float]:
        """Energy and CO2e so far under the names of an account; empty until they are known, as old as 10 s.

        Args:
            now: Make the account anew, however long that takes; for the end of a run.
        """
        begun_s = time.monotonic()
        if self.meter is None or not (now or (self.is_on and begun_s >= self._next_account_s)):
            return dict(self._columns)
        try:
            self._columns = columns_of(self.meter.account())
        except Exception as error:  # a site that is none, or a fault of ours: training is not to end over it
            LOGGER.warning("no energy in the log: %s: %s", type(error).__name__, error)
            self._next_account_s = float("inf")
            return dict(self._columns)
        ended_s = time.monotonic()
        self._next_account_s = ended_s + max(SHORTEST_PAUSE_S, (ended_s - begun_s) / SHARE_OF_TIME)
        return dict(self._columns)

    def so_far(self) -> tuple[Account, Expected | None]:
        """The account now, and what the run will have taken at its end, from one reading of the journal.

        Raises:
            MeasurementError: Nothing was measured yet.
        """
        from tonne.measure.progress import so_far  # noqa: PLC0415 - tables that a start does not need

        if self.meter is None:
            raise MeasurementError("no run has begun yet, so that there is no account. Ask again once training began.")
        return so_far(self.meter._measured(None), self.meter.site)

    def account(self, view: str = "node") -> Account:
        """The account of the run, or of the last one; see `Meter.account`.

        Raises:
            MeasurementError: Nothing was measured yet.
        """
        if self.meter is None:
            raise MeasurementError("no run has begun yet, so that there is no account. Ask again once training began.")
        return self.meter.account(view)

    def __getstate__(self) -> dict[str, Any]:
        """For loops that send their callbacks to other processes: what to measure, not what runs here."""
        return {"options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A watch of its own in another process; it joins the run by itself."""
        own = ("name", "site", "interval_s", "folder")
        labels = {name: value for name, value in state["options"].items() if name not in own}
        self.__init__(**{name: state["options"][name] for name in own}, labels=labels)  # type: ignore[misc]


def columns_of(account: Account) -> dict[str, float]:
    """Columns for a loop's log: what is known of energy and CO2e, as plain numbers."""
    wanted: dict[str, Estimate | None] = {
        "facility_kwh": account.energy.facility_kwh,
        "operational_location_kgco2e": account.carbon.operational_location_kgco2e,
    }
    return {name: float(estimate.value) for name, estimate in wanted.items() if estimate is not None}


def status_after(error: BaseException | None) -> str:
    """How a run stands that an error ended; None for no error."""
    if error is None:
        return FINISHED
    return STOPPED if isinstance(error, KeyboardInterrupt) else FAILED
