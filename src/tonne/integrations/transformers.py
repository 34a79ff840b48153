"""For the Trainer of Hugging Face: `Trainer(..., callbacks=[MeterCallback(site="FR")])`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tonne.integrations.presence import Presence
from tonne.integrations.watching import (
    FAILED,
    FINISHED,
    Watch,
    missing,
    status_after,
    subclass_of,
    unknown_name,
)

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.meter import Meter

    MeterCallback: type[_MeterCallback]

EPOCH, EVALUATE = "epoch", "evaluate"


class _MeterCallback:
    """Measures what `Trainer.train` takes; energy and CO2e stand in each of its logs on the first rank.

    Every rank measures its part, and a node is counted once. Epochs and evaluations are windows of the run. Where
    training raises, the run is closed as failed within an interval; `with MeterCallback(...) as callback:` closes it at
    once.

    Args:
        name: What the run is called; left out, `run_name` of the arguments, else the script's name.
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
        self._interval_s = interval_s
        self._presence: Presence | None = None

    @property
    def meter(self) -> Meter | None:
        """The meter of the run; None before the first one."""
        return self.watch.meter

    def account(self, view: str = "node") -> Account:
        """The account of the run, at any time and after; see `Meter.account`."""
        return self.watch.account(view)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Begin."""
        if self._presence is not None:
            self._presence.end()  # of a run that failed just now: it would take this one for its own
        self.watch.call_if_unnamed(getattr(args, "run_name", None))
        self.watch.begin(state.max_steps)
        self._presence = Presence("transformers", self._interval_s, lambda: self.watch.end(FAILED))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Say how far it is; tokens where the arguments have them counted."""
        self.watch.step(state.global_step, state.num_input_tokens_seen or None)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """A window."""
        self.watch.open_part(EPOCH)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Its end."""
        self.watch.close_part(EPOCH)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """The first one of an evaluation begins a window: there is no event of its own."""
        self.watch.open_part(EVALUATE)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Its end."""
        self.watch.close_part(EVALUATE)

    on_predict = on_evaluate

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401
        """Add the columns to a log of training, for the loggers after this one and for `trainer_state.json`."""
        if logs is None or not state.is_world_process_zero:
            return
        columns = self.watch.columns(now="train_runtime" in logs)
        logs.update(columns)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(columns)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
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
        from transformers import TrainerCallback  # noqa: PLC0415 - not needed before the class is
    except ImportError:
        raise missing("transformers", "transformers") from None
    return subclass_of(TrainerCallback, _MeterCallback, __name__)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class below one of the library's
    """`MeterCallback`, made on first use: importing this module loads nothing."""
    if name != "MeterCallback":
        raise unknown_name(__name__, name)
    return _callback()
