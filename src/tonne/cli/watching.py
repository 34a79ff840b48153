"""What `tonne run` says and does while its command runs: limits, steps, a line now and then."""

from __future__ import annotations

import os
import time

from tonne.cli.step_lines import Steps
from tonne.measure.journal import paths
from tonne.measure.limits import Limits, require_known, standings
from tonne.measure.meter import Meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from tonne.account import Account
    from tonne.measure.limits import Standing
    from tonne.measure.progress import Expected

LINE_EVERY_S = 600.0
SHARE_OF_TIME = 0.02  # that looking at the account may take
FIRST_LOOK_S = 0.5  # commands that end sooner are not looked at while they run
NO_TOTAL = (
    "tonne: {why}: steps are counted, but the run's end is not forecast. Give --total-steps N, or a second group for "
    "the total, as in --step-pattern 'step (\\d+) of (\\d+)'"
)
LONG_BYTES = 300e6  # of a journal that takes a second to read: nobody waits for that at the end of a command


class Watch:
    """Looks at the account now and then, never for more than a share of the time."""

    def __init__(self, meter: Meter, options: Namespace, say: Callable[[str], None]) -> None:
        """Checks what can be checked before the command begins.

        Raises:
            DescriptionError: A limit that cannot be watched, a site that is none, a pattern that is none.
        """
        self._meter, self._options, self._say = meter, options, say
        self.limits = Limits(kwh=options.max_kwh, kgco2e=options.max_kgco2e, usd=options.max_cost)
        self._steps = Steps(options.step_pattern, options.total_steps) if options.reads_steps else None
        if self._steps is not None and not self._steps.finds_total:
            self._say(NO_TOTAL.format(why="--step-pattern has one group, and no --total-steps is given"))
        self._read = None if options.steps_from is None else self.reader()
        self._site()
        self.stop_child: Callable[[], None] | None = None
        self._begun_s = time.monotonic()
        self._has_looked = False
        self._next_look_s = self._begun_s + FIRST_LOOK_S
        self._next_line_s = self._begun_s + LINE_EVERY_S
        self._warned: set[tuple[str, bool]] = set()
        self._offset = 0

    def _site(self) -> None:
        """The place, checked where it is given; what is limited must be known there."""
        place, usd_per_kwh = self._options.place, self._options.usd_per_kwh
        from tonne.measure.sites import is_known_by_tables, site_of  # noqa: PLC0415 - light, but not always needed

        if place is None and usd_per_kwh is None:
            require_known(self.limits, place=False, price=False)
        elif usd_per_kwh is None and is_known_by_tables(place):
            require_known(self.limits, place=True, price=False)
        else:
            site = site_of({} if place is None else place)
            assert site is not None
            if usd_per_kwh is not None:
                site = site_of({**site.model_dump(exclude_none=True), "usd_per_kwh": usd_per_kwh})
                assert site is not None
            self._meter.site = site
            known = any(one is not None for one in (site.grid, site.region, site.grid_gco2e_per_kwh))
            require_known(self.limits, place=known, price=site.usd_per_kwh is not None)

    def look(self) -> None:
        """Called after each interval, in the meter's thread."""
        self._read_file()
        now_s = time.monotonic()
        if now_s < self._next_look_s or not (self.limits.any or now_s >= self._next_line_s):
            if now_s >= self._next_look_s:
                self._prepare()
            return
        begun_s = time.thread_time()
        account, expected = self._account()
        self._check(account, expected)
        if now_s >= self._next_line_s and not self._options.quiet:
            from tonne.report.measured_line import live_line  # noqa: PLC0415 - as above

            self._say(live_line(account, expected))
            self._next_line_s = now_s + LINE_EVERY_S
        took_s = time.thread_time() - begun_s  # of the first time most was for loading tables and code
        self._next_look_s = now_s + (took_s / SHARE_OF_TIME if self._has_looked else FIRST_LOOK_S)
        self._has_looked = True

    def _prepare(self) -> None:
        """Look once while the command runs, so that tables and code are at hand and its end comes without delay."""
        if not self._options.quiet:
            from tonne.report import measured_line  # noqa: F401, PLC0415 - as above

            self._meter.account()
        self._next_look_s = self._next_line_s

    def conclude(self) -> None:
        """Say what the run took."""
        if self.limits.any:
            account, expected = self._account()
            self._check(account, expected)
        last = None if self._steps is None else self._steps.last
        if self._steps is not None and last is None:
            self._say(
                "tonne: no steps were found in what it printed. Say how they look, e.g. --step-pattern 'step (\\d+)'"
            )
        elif self._steps is not None and self._steps.finds_total and last is not None and last[1] is None:
            self._say(NO_TOTAL.format(why="what it printed says steps but no total, and no --total-steps was given"))
        run, folder = self._meter.run_id, self._meter.folder
        if self._options.quiet or run is None or folder is None:
            return
        sizes = [os.path.getsize(path) for path in paths(folder)]  # noqa: PTH202 - no pathlib here
        if sum(sizes) > LONG_BYTES:
            self._say(f"tonne: measured · tonne runs show {run}")
        else:
            from tonne.report.measured_line import closing_line  # noqa: PLC0415 - as above

            self._say(closing_line(self._meter.account(), run if any(sizes) else None))

    def reader(self) -> Callable[[bytes], None]:
        """What finds steps in one stream that the command prints."""
        assert self._steps is not None
        return self._steps.reader(self._meter.progress)

    def _read_file(self) -> None:
        path = self._options.steps_from
        if path is None or self._read is None:
            return
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - the light path has no pathlib
                size = file.seek(0, os.SEEK_END)
                self._offset = 0 if size < self._offset else self._offset
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return  # it may come later
        self._offset += len(data)
        self._read(data)

    def _account(self) -> tuple[Account, Expected | None]:
        from tonne.measure.progress import so_far  # noqa: PLC0415 - as above

        return so_far(self._meter._measured(None), self._meter.site)

    def _check(self, account: Account, expected: Expected | None) -> None:
        for standing in standings(self.limits, account, expected):
            if standing.exceeded:
                self._warn(standing, exceeded=True)
                if self._options.enforce and self.stop_child is not None:
                    self.stop_child()
            elif standing.will_exceed:
                self._warn(standing, exceeded=False)

    def _warn(self, standing: Standing, *, exceeded: bool) -> None:
        if (standing.unit, exceeded) in self._warned:
            return
        self._warned.add((standing.unit, exceeded))
        if exceeded:
            does = "the command is stopped" if self._options.enforce else "it goes on, as --enforce was not given"
            self._say(f"tonne: {standing.taken:.3g} of {standing.limit:g} {standing.unit}: over the limit; {does}.")
        else:
            self._say(
                f"tonne: the run will take about {standing.expected:.3g} {standing.unit}, "
                f"more than its limit of {standing.limit:g}."
            )
