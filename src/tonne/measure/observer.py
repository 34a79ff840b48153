"""For `tonne.train`, and for every loop that tells observers of its steps: `observers=[MeterObserver(site="FR")]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.measure.watching import Watch, status_after

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.meter import Meter


class MeterObserver:
    """Measures a run from `on_start` to `on_end`; energy and CO2e so far are columns of the live line.

    Args:
        name: What the run is called; left out, the script's name.
        site: Where it runs, as of `tonne.track`; left out, energy only.
        interval_s: Time between two readings [s].
        folder: Of the run's journal.
        meter: A meter that the caller starts and stops.
        shows: Whether there are columns; on ranks that show nothing they would be made for nobody.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        site: Any = None,  # noqa: ANN401 - whatever tonne.track takes
        interval_s: float = 1.0,
        folder: str | Path | None = None,
        meter: Meter | None = None,
        shows: bool = True,
    ) -> None:
        """An observer that does nothing before the start."""
        self.watch = Watch(name, site=site, interval_s=interval_s, folder=folder, meter=meter)
        self._shows = shows
        self._steps = self._tokens = 0

    def account(self, view: str = "node") -> Account:
        """The account of the run, at any time and after; see `Meter.account`."""
        return self.watch.account(view)

    def on_start(self, total_steps: int | None, tokens_per_step: int | None) -> None:
        """Begin."""
        self._steps = self._tokens = 0
        self.watch.begin(total_steps)

    def on_step(self, step: int, tokens: int, loss: float) -> Mapping[str, float] | None:
        """Say how far it is; the columns."""
        self._steps += 1  # the run may have been gone on with: its steps do not begin at one, those of this part do
        self._tokens += tokens
        self.watch.step(self._steps, self._tokens)
        return self.watch.columns() if self._shows else None

    def on_end(self, error: BaseException | None) -> None:
        """End, as failed where an error ended it."""
        self.watch.end(status_after(error), error)
