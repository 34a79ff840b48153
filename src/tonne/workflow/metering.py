"""Who watches a run: forecasts it before its first step, measures it, notes its losses, and stops it at a limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.errors import MeasurementError
from tonne.measure.limits import standings
from tonne.measure.progress import expected_by
from tonne.measure.watching import Watch, columns_of, status_after
from tonne.train.ahead import FINISHING, STEPPING, Timed
from tonne.train.observers import STOP
from tonne.workflow.foretelling import Foretold, foretold
from tonne.workflow.kept import Kept, keep
from tonne.workflow.machine import Look
from tonne.workflow.paces import paces_in
from tonne.workflow.points import Points

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.describe.site import Site
    from tonne.measure.limits import Standing
    from tonne.measure.progress import Expected
    from tonne.train.ahead import Ahead
    from tonne.workflow.asked import Asked

LOG = logging.getLogger(__name__)
FIRST_LOOK_S = 2.0
PAUSE_S, WATCHFUL_PAUSE_S = 5.0, 0.5  # between two looks at the account; where there is a limit
SHARE_OF_TIME = 0.004  # of a run that looking may take, however long its journal is
JOURNAL = "journal"  # in the run's folder, where TONNE_HOME cannot be written


class Metering:
    """An observer of one run in one process; the first process's speaks for all."""

    def __init__(
        self,
        asked: Asked,
        output: Path,
        name: str,
        *,
        site: Site | None,
        labels: Mapping[str, Any],
        before: Kept | None,
    ) -> None:
        """An observer that does nothing yet.

        Args:
            asked: Of the run.
            output: Its folder.
            name: What it is called.
            site: Where it is.
            labels: Project, purpose and tags.
            before: The measurement that an earlier part of it began, where this part goes on with it.
        """
        self._asked, self._output, self._site = asked, output, site
        self.name, self.before = name, before
        self.ahead: Ahead | None = None
        self.foretold: Foretold | None = None
        self.points = Points()
        self.energy: list[tuple[float, float]] = []  # when an account was made, and its facility energy
        self.stages_s: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.steps = self.tokens = 0
        self.begun_unix_s = self.ended_unix_s = 0.0
        self.over: Standing | None = None
        self.error: BaseException | None = None
        self.watch = Watch(name, site=site, interval_s=asked.interval_s, folder=self._journal(), labels=labels)
        self.first_step_s = self._begun_s = self._ended_s = self._next_look_s = 0.0
        self._earlier_s = 0.0 if before is None else sum(before.stages_s.values())
        self._earlier_tokens = 0 if before is None else before.tokens
        self._first = self._last = (0.0, 0.0)  # time and CPU time at the end of a step
        self._columns: dict[str, float] = {}
        self._warned: set[tuple[str, bool]] = set()

    def _journal(self) -> str | None:
        """Where the journal lies: that of the earlier part, else below TONNE_HOME, else in the run's folder."""
        if self.before is not None:
            return self.before.journal
        refused = self._asked.home is not None and self._output in self._asked.home.parents
        return str(self._output / JOURNAL) if refused else None

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.ahead is None or self.ahead.first

    @property
    def run_id(self) -> str | None:
        """The id of the run; None before it began, or where nothing is measured."""
        return None if self.watch.meter is None else self.watch.meter.run_id

    def on_outlook(self, ahead: Ahead) -> Sequence[str]:
        """The forecast, in lines; a fault of ours costs the forecast, not the measurement."""
        self.ahead = ahead
        look = Look()
        timed = ahead.trial() if ahead.steps else Timed()
        if not ahead.first:
            return ()
        try:
            return self._foretell(ahead, timed, look)
        except Exception as error:
            LOG.warning("there is no forecast of this run: %s: %s", type(error).__name__, error)
            return ()

    def _foretell(self, ahead: Ahead, timed: Timed, look: Look) -> Sequence[str]:
        found = foretold(ahead, timed, look.ended(), paces=paces_in(self._asked.home), site=self._site)
        self.foretold = found
        self._warn_ahead(found.account)
        return self._asked.foretold_lines(found)

    def on_start(self, total_steps: int | None, tokens_per_step: int | None) -> None:
        """Begin to measure."""
        self.begun_unix_s, self._begun_s = time.time(), time.perf_counter()
        self._next_look_s = self._begun_s + (WATCHFUL_PAUSE_S if self._asked.limits.any else FIRST_LOOK_S)
        if not self._asked.measured:
            return
        offset = 0 if self.ahead is None else self.ahead.first_step
        self.watch.begin(None if total_steps is None else offset + total_steps)
        found = self.kept()
        if self.first and found is not None:
            keep(self._output, found)

    def on_step(self, step: int, tokens: int, loss: float) -> Mapping[str, float] | None:
        """Note the step; columns of the line, and the wish to stop at a limit."""
        now_s, cpu_s = time.perf_counter(), time.process_time()
        self.steps += 1
        self.tokens += tokens
        if self.steps == 1:
            self.first_step_s = now_s - self._begun_s
            self._first = (now_s, cpu_s)
        self._last = (now_s, cpu_s)
        self.points.add((step, self.time_s(), self.tokens + self._earlier_tokens, float(loss)))
        self.watch.step(step, self.tokens + self._earlier_tokens)
        if not (self.first and self._asked.measured):
            return None
        if now_s >= self._next_look_s:
            self._look(now_s)
        stops = self.over is not None and self._asked.enforce
        return {**self._columns, STOP: 1.0} if stops else self._columns

    def on_stage(self, name: str, duration_s: float) -> None:
        """Note what a part of the time between steps took."""
        self.stages_s[name] = self.stages_s.get(name, 0.0) + duration_s
        self.counts[name] = self.counts.get(name, 0) + 1
        if name == FINISHING:
            self._ended_s = time.perf_counter()

    def on_end(self, error: BaseException | None) -> None:
        """Note the end; after an error the measurement ends at once, else when it is known how the run ended."""
        self.error, self.ended_unix_s = error, time.time()
        self._ended_s = self._ended_s or time.perf_counter()
        if error is not None:
            self.end(status_after(error))

    def end(self, status: str) -> None:
        """End the measurement; a second call does nothing."""
        self.watch.end(status, self.error)

    def account(self) -> Account | None:
        """What the run took; None where nothing was measured."""
        if not self._asked.measured or self.watch.meter is None:
            return None
        try:
            found = self.watch.account()
        except MeasurementError as error:
            LOG.warning("this run was not measured: %s", error)
            return None
        self._note(found)
        return found

    def all_stages_s(self) -> dict[str, float]:
        """Seconds by stage of this part of the run; what is no other stage is stepping."""
        whole_s = max(self._ended_s - self._begun_s, 0.0)
        return {STEPPING: max(whole_s - sum(self.stages_s.values()), 0.0), **self.stages_s}

    def slowness(self) -> float:
        """Time over CPU time since the first step, as ``Timed`` has it."""
        lasted_s, cpu_s = self._last[0] - self._first[0], self._last[1] - self._first[1]
        on_processor = self.ahead is not None and self.ahead.device == "cpu"
        return lasted_s / cpu_s if on_processor and cpu_s > 0 and lasted_s > 0 else 1.0

    def check(self, account: Account) -> None:
        """Look at the limits a last time."""
        self._check(account, None)

    def kept(self) -> Kept | None:
        """What the run's folder is to know of its measurement; None where nothing is measured."""
        meter = self.watch.meter
        if meter is None or meter.run_id is None or meter.folder is None:
            return None
        found = self.before or Kept(run=meter.run_id, name=self.name, journal=meter.folder)
        if found.forecast is None and self.foretold is not None:
            found = replace(found, forecast=self.foretold.account, forecast_inputs=self.foretold.inputs)
        return found if found.begun_unix_s is not None else replace(found, begun_unix_s=self.begun_unix_s)

    def time_s(self) -> float:
        """Time of the run so far, that of earlier parts counted [s]."""
        return (self._ended_s or time.perf_counter()) - self._begun_s + self._earlier_s

    def _look(self, now_s: float) -> None:
        """Make the columns anew, and see to the limits; a fault of ours must not end the training."""
        if not self.watch.is_on:
            return
        try:
            account, expected = self.watch.so_far()
            if self.before is not None:  # the meter knows the steps of one part of the run alone
                expected = self._expected(account)
            self._columns = {**columns_of(account), **expected_columns(expected)}
            self._note(account)
            self._check(account, expected)
        except Exception as error:
            LOG.warning("no energy in the line any more: %s: %s", type(error).__name__, error)
            self._next_look_s = float("inf")
            return
        spent_s = time.perf_counter() - now_s
        pause_s = WATCHFUL_PAUSE_S if self._asked.limits.any else PAUSE_S
        self._next_look_s = now_s + max(pause_s, spent_s / SHARE_OF_TIME)

    def _expected(self, account: Account) -> Expected | None:
        """Where the run will end, from the steps of this part and the time of all parts."""
        if self.ahead is None:
            return None
        times = [(float(step), time_s) for step, time_s, _, _ in self.points.all()]
        return expected_by(times, (), self.ahead.first_step + self.ahead.steps, account)

    def _note(self, account: Account) -> None:
        energy, at_s = account.energy.facility_kwh, self.time_s()
        if energy is not None and (not self.energy or at_s > self.energy[-1][0]):
            self.energy.append((at_s, float(energy.value)))

    def _check(self, account: Account, expected: Expected | None) -> None:
        for standing in standings(self._asked.limits, account, expected):
            if standing.exceeded:
                self.over = standing
                does = "the run is saved and stopped" if self._asked.enforce else "it goes on, as nothing enforces it"
                text = f"{standing.taken:.3g} of {standing.limit:g} {standing.unit}: over the limit; {does}."
                self._warn((standing.unit, True), text)
            elif standing.will_exceed:
                text = f"the run will take about {standing.expected:.3g} {standing.unit}"
                self._warn((standing.unit, False), f"{text}, more than its limit of {standing.limit:g}.")

    def _warn_ahead(self, account: Account) -> None:
        """Say before the first step where the forecast alone is over a limit."""
        for standing in standings(self._asked.limits, account, None):
            if standing.exceeded:
                text = f"the run is forecast to take {standing.taken:.3g} {standing.unit}"
                self._warn((standing.unit, False), f"{text}, more than its limit of {standing.limit:g}.")

    def _warn(self, key: tuple[str, bool], text: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            self._asked.say(f"tonne: {text}")


def expected_columns(expected: Expected | None) -> dict[str, float]:
    """Energy and CO2e of the whole run, as its steps so far say, for the line."""
    if expected is None:
        return {}
    wanted = {
        "expected_facility_kwh": expected.facility_kwh,
        "expected_location_kgco2e": expected.operational_location_kgco2e,
    }
    return {name: float(one.value) for name, one in wanted.items() if one is not None}
