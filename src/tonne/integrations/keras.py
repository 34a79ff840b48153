"""For Keras: `model.fit(..., callbacks=[MeterCallback(site="FR")])`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tonne.integrations.presence import Presence
from tonne.integrations.watching import FAILED, FINISHED, Watch, missing, status_after, subclass_of, unknown_name

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.meter import Meter

    MeterCallback: type[_MeterCallback]

EPOCH, TEST = "epoch", "test"


class _MeterCallback:
    """Measures what `Model.fit` takes; energy and CO2e stand in the logs of each epoch, and so in its history.

    Epochs and evaluations are windows of the run. Where training raises, the run is closed as failed within an
    interval; `with MeterCallback(...) as callback:` closes it at once.

    Args:
        name: What the run is called; left out, the script's name.
        site: Where it runs, as of `tonne.track`; left out, energy only.
        interval_s: Time between two readings [s].
        folder: Of the run's journal.
        meter: A meter that the caller starts and stops.
    """

    params: dict[str, Any]  # Keras sets them before training
    model: Any

    def __init__(
        self,
        name: str | None = None,
        *,
        site: Any = None,  # noqa: ANN401 - whatever tonne.track takes
        interval_s: float = 1.0,
        folder: str | Path | None = None,
        meter: Meter | None = None,
    ) -> None:
        """A callback that does nothing before training begins."""
        super().__init__()
        self.watch = Watch(name, site=site, interval_s=interval_s, folder=folder, meter=meter)
        self._interval_s = interval_s
        self._presence: Presence | None = None
        self._steps = self._steps_before = 0
        self._first_epoch: int | None = None

    @property
    def meter(self) -> Meter | None:
        """The meter of the run; None before the first one."""
        return self.watch.meter

    def account(self, view: str = "node") -> Account:
        """The account of the run, at any time and after; see `Meter.account`."""
        return self.watch.account(view)

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ANN401
        """Begin."""
        if self._presence is not None:
            self._presence.end()  # of a run that failed just now: it would take this one for its own
        self._steps, self._first_epoch = 0, None
        self.watch.begin()
        self._presence = Presence("keras", self._interval_s, lambda: self.watch.end(FAILED))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401
        """Say how far it is; a batch may be the last of several that ran as one."""
        self._steps = self._steps_before + batch + 1
        self.watch.step(self._steps)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ANN401
        """A window; the first one says from where training goes on, and so how long it will be."""
        if self._first_epoch is None:
            self._first_epoch = epoch
            steps, epochs = self.params.get("steps"), self.params.get("epochs")
            self.watch.expect(steps * (epochs - epoch) if steps and epochs else None)
        self._steps_before = self._steps
        self.watch.open_part(EPOCH)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ANN401
        """Its end; the columns are added to the epoch's logs, made anew in the first one and in the last one."""
        self.watch.close_part(EPOCH)
        if logs is not None:
            is_last = epoch + 1 == self.params.get("epochs") or getattr(self.model, "stop_training", False)
            logs.update(self.watch.columns(now=epoch == self._first_epoch or is_last))

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ANN401
        """A window, where a run is on."""
        self.watch.open_part(TEST)

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ANN401
        """Its end."""
        self.watch.close_part(TEST)

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ANN401
        """End."""
        self._end(FINISHED)

    def _end(self, status: str, error: BaseException | None = None) -> None:
        if self._presence is not None:
            self._presence.end()
        self.watch.end(status, error)

    def __enter__(self) -> _MeterCallback:
        """The callback; training begins its run."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close a run that an error broke off; the error goes on."""
        self._end(status_after(error), error)


@cache
def _callback() -> type:
    try:
        from keras.callbacks import Callback  # noqa: PLC0415 - not needed before the class is
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise missing(f"keras and its backend ({backend}: {error})", "keras, and the backend") from None
    return subclass_of(Callback, _MeterCallback, __name__)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class below one of the library's
    """`MeterCallback`, made on first use: importing this module loads nothing."""
    if name != "MeterCallback":
        raise unknown_name(__name__, name)
    return _callback()
