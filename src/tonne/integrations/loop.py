"""For a loop of one's own: `for batch in measured(loader, "my-run", site="FR", epochs=3): ...`."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from tonne.integrations.watching import FAILED, FINISHED, Watch, status_after

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.meter import Meter

Batch = TypeVar("Batch")
EPOCH = "epoch"
LEAVING = {"POP_TOP", "POP_ITER"}  # what `break` and `return` do with a loop's iterator


class measured(Iterable[Batch]):  # noqa: N801 - reads as what it does to a loader, as `enumerate` and `map` do
    """The batches of a loader, each a step of a run that is measured from the first batch to the end of the loop.

    The end may be the last batch, a `break`, or an error, which closes the run as failed. It is for loops with `for`:
    dropped in another way before its end, by `islice`, `zip` or after `next`, it is closed as failed too.

    Args:
        batches: A data loader, or anything that can be gone through; more than once where there are several epochs.
        name: What the run is called; left out, the script's name.
        epochs: How often to go through the batches.
        site: Where it runs, as of `tonne.track`; left out, energy only.
        interval_s: Time between two readings [s].
        folder: Of the run's journal.
        meter: A meter that the caller starts and stops.
    """

    def __init__(  # noqa: PLR0913 - what tonne.track takes, beside the batches
        self,
        batches: Iterable[Batch],
        name: str | None = None,
        *,
        epochs: int = 1,
        site: Any = None,  # noqa: ANN401 - whatever tonne.track takes
        interval_s: float = 1.0,
        folder: str | Path | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Batches that nobody has asked for yet."""
        self._batches, self._epochs = batches, epochs
        self.watch = Watch(name, site=site, interval_s=interval_s, folder=folder, meter=meter)

    def account(self, view: str = "node") -> Account:
        """The account of the run, at any time and after; see `Meter.account`."""
        return self.watch.account(view)

    def __len__(self) -> int:
        """Steps of the run, where the loader has a length."""
        return self._epochs * len(self._batches)  # type: ignore[arg-type]  # its error is the one that helps

    def __iter__(self) -> Iterator[Batch]:
        """The batches; a step is done when the next one is asked for."""
        self.watch.begin(self._total_steps())
        step = 0
        try:
            for _ in range(self._epochs):
                self.watch.open_part(EPOCH)
                for batch in self._batches:
                    yield batch
                    step += 1
                    self.watch.step(step)
                self.watch.close_part(EPOCH)
        except GeneratorExit:  # the loop was left early
            self.watch.end(FAILED if _left_by_error(sys._getframe(1)) else FINISHED)
            raise
        except BaseException as error:  # of the loader
            self.watch.end(status_after(error), error)
            raise
        self.watch.end(FINISHED)

    def _total_steps(self) -> int | None:
        try:
            return len(self)
        except TypeError:
            return None


def _left_by_error(frame: FrameType | None) -> bool:
    """Whether the loop that drops its iterator now was ended by an error.

    Python tells an iterator only that it is dropped. The instruction at which the loop stands tells the rest: one that
    drops iterators is a `break`, any other raised. Generators in between, such as a progress bar's, are closed too.
    """
    while frame is not None and frame.f_code.co_flags & inspect.CO_GENERATOR:
        frame = frame.f_back
    return frame is not None and dis.opname[frame.f_code.co_code[frame.f_lasti]] not in LEAVING
