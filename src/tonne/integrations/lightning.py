"""For the Trainer of Lightning: `Trainer(..., callbacks=[MeterCallback(site="FR")])`."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.integrations.watching import FINISHED, Watch, missing, status_after, subclass_of, unknown_name

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.meter import Meter

    MeterCallback: type[_MeterCallback]

EPOCH, VALIDATE = "epoch", "validate"
# Two names of one library; a program uses one of them.
CALLBACKS = ("lightning.pytorch.callbacks", "pytorch_lightning.callbacks")


class _MeterCallback:
    """Measures what `Trainer.fit` takes; the trainer's logger gets energy and CO2e with each of its logs.

    Every rank measures its part, and a node is counted once; the first rank alone logs. Epochs and validations are
    windows of the run. Where training raises, the run is closed as failed, with the error's name.

    Args:
        name: What the run is called; left out, the script's name.
        site: Where it runs, as of `tonne.track`; left out, energy only.
        interval_s: Time between two readings [s].
        folder: Of the run's journal.
        meter: A meter that the caller starts and stops.
    """

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
        self.watch = Watch(name, site=site, interval_s=interval_s, folder=folder, meter=meter)
        self._logged_step = 0

    @property
    def meter(self) -> Meter | None:
        """The meter of the run; None before the first one."""
        return self.watch.meter

    def account(self, view: str = "node") -> Account:
        """The account of the run, at any time and after; see `Meter.account`."""
        return self.watch.account(view)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Begin: before the sanity check, which takes energy too."""
        total = trainer.estimated_stepping_batches
        is_known = 0 < total < float("inf") and (pl_module.automatic_optimization or trainer.max_steps < 0)
        self._logged_step = 0
        self.watch.begin(int(total) if is_known else None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Say how far it is, and log as often as the trainer does."""
        step = trainer.global_step
        # A module that steps its optimizers itself counts each of them: its batches are what the total is of.
        self.watch.step(step if pl_module.automatic_optimization else trainer.fit_loop.total_batch_idx + 1)
        if step > self._logged_step and step % max(trainer.log_every_n_steps, 1) == 0:
            self._logged_step = step
            self._log(trainer, self.watch.columns() if trainer.is_global_zero else {})

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """A window."""
        self.watch.open_part(EPOCH)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Its end."""
        self.watch.close_part(EPOCH)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """A window."""
        self.watch.open_part(VALIDATE)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Its end."""
        self.watch.close_part(VALIDATE)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """End."""
        if trainer.is_global_zero:
            self._log(trainer, self.watch.columns(now=True))
        self.watch.end(FINISHED)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ANN401
        """End with the error, which goes on to whoever waits for it."""
        self.watch.end(status_after(exception), exception)

    @staticmethod
    def _log(trainer: Any, columns: dict[str, float]) -> None:  # noqa: ANN401
        if columns:
            for logger in trainer.loggers:
                logger.log_metrics(columns, step=trainer.global_step)


@cache
def _callback() -> type:
    """Below the class of that of the two packages which the program uses, the newer name where it uses none yet."""
    for name in sorted(CALLBACKS, key=lambda name: name.partition(".")[0] not in sys.modules):
        try:
            callbacks = import_module(name)
        except ImportError:
            continue
        return subclass_of(callbacks.Callback, _MeterCallback, __name__)
    raise missing("lightning", "lightning")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class below one of the library's
    """`MeterCallback`, made on first use: importing this module loads nothing."""
    if name != "MeterCallback":
        raise unknown_name(__name__, name)
    return _callback()
