"""The steps of a run in their order: train, tell, evaluate, keep."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tonne.train.ahead import CHECKPOINTS, EVALUATION, SAMPLING
from tonne.train.evaluation import bits_per_byte
from tonne.train.loggers import is_logged
from tonne.train.observers import STOP, Observers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tonne.train.batch import Batch
    from tonne.train.distribution import Processes
    from tonne.train.evaluation import Evaluates, Evaluation
    from tonne.train.loggers import Sink
    from tonne.train.losses import Counted
    from tonne.train.peak import Peak
    from tonne.train.progress import ProgressLine
    from tonne.train.sampling import Sampler
    from tonne.train.step import Stepper, StepResult


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a run stands, besides its tensors: what a checkpoint keeps as numbers."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    best: float | None = None  # the least badness of an evaluation: its loss, or what stands for its metric
    best_loss: float | None = None  # and the loss beside it, which decides between two of one metric
    evaluations_without_better: int = 0

    def note(self, evaluation: Evaluation) -> bool:
        """Keep, and return, whether an evaluation was the best so far; patience goes by what decides alone."""
        now, before = (evaluation.badness, evaluation.loss), (self.best, self.best_loss)
        better = self.best is None or evaluation.badness < self.best
        self.evaluations_without_better = 0 if better else self.evaluations_without_better + 1
        kept = before[0] is None or before[1] is None or now < (before[0], before[1])
        if kept:
            self.best, self.best_loss = now
        return kept

    def as_dict(self) -> dict[str, Any]:
        """Built-in types alone."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """After how many steps something is due, counted from the first step of the run."""

    log: int
    evaluate: int
    checkpoint: int
    sample: int | None
    patience: int | None


@dataclass(slots=True, kw_only=True)
class Loop:
    """What the steps need; ``run`` makes them."""

    stepper: Stepper
    batches: Iterator[tuple[int, Sequence[Batch]]]
    evaluator: Evaluates | None
    sampler: Sampler | None
    save: Callable[[Standing], None]
    keep_best: Callable[[Standing, Evaluation], None] | None
    processes: Processes
    observers: Observers
    sinks: Sequence[Sink]
    line: ProgressLine | None
    every: Every
    total_steps: int
    last_step: int
    flop_per_token: float
    bytes_per_token: float | None
    peak: Peak
    measured_peak: Callable[[], float]
    last: StepResult | None = None
    evaluation: Evaluation | None = None
    last_evaluation: Evaluation | None = None
    signal: int | None = None  # that asked it to end
    _window: _Window = field(default_factory=lambda: _Window())

    def run(self, standing: Standing) -> str | None:
        """Make the steps from where the run stands up to the last one asked for.

        Returns:
            What ended it early: "observer", "patience" or "signal"; None where nothing did.
        """
        with _asked_to_stop() as asked:
            while standing.step < self.last_step:
                columns = self._step(standing)
                reason = self._reason(columns, standing, asked)
                final = reason is not None or standing.step == self.last_step
                self._tell(columns, standing, last=final)
                if final or standing.step % self.every.checkpoint == 0:
                    with self._stage(CHECKPOINTS):
                        self.save(standing)
                if reason is not None:
                    return reason
        return None

    def _step(self, standing: Standing) -> dict[str, float]:
        """One step, with the evaluation and the sample that are due; the observers' columns."""
        step, batches = next(self.batches)
        assert step == standing.step, "batches come in the order of the steps"
        start = time.perf_counter()
        result = self.last = self.stepper.make(step, batches)
        self._window.add(time.perf_counter() - start, result.counted)
        standing.step += 1
        standing.tokens += result.counted.tokens
        columns = self.observers.on_step(standing.step, result.counted.tokens, result.loss)
        self._look(standing)
        standing.elapsed_s += time.perf_counter() - start
        return columns

    def _look(self, standing: Standing) -> None:
        """The evaluation and the sample of text that are due."""
        self.evaluation = None
        if self.evaluator is not None and self._due(self.every.evaluate, standing.step):
            with self._stage(EVALUATION):
                self._evaluate(self.evaluator, standing)
        if self.sampler is not None and self._due(self.every.sample, standing.step):
            with self._stage(SAMPLING):
                text = self.sampler.write(standing.step)
            if self.line is not None:
                self.line.say(f"step {standing.step:,}: {text!r}")

    def _evaluate(self, evaluator: Evaluates, standing: Standing) -> None:
        """How good the model is now; the best is kept."""
        self.evaluation = self.last_evaluation = evaluator.now()
        better = standing.note(self.evaluation)
        if better and self.keep_best is not None:
            self.keep_best(standing, self.evaluation)
        self.peak.look_again(sum(self.processes.total([self.measured_peak()])))

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """What is done between steps, its time told to those who watch."""
        begun_s = time.perf_counter()
        yield
        self.observers.on_stage(name, time.perf_counter() - begun_s)

    def _due(self, every: int | None, step: int) -> bool:
        """Whether something that comes every so many steps, and with the run's last, is due."""
        return every is not None and (step % every == 0 or step == self.total_steps)

    def _reason(self, columns: dict[str, float], standing: Standing, asked: list[int]) -> str | None:
        """Why to end here; all processes say the same."""
        stopped, signalled = self.processes.largest([float(bool(columns.get(STOP))), float(max(asked, default=0))])
        patience = self.every.patience
        if stopped:
            return "observer"
        if signalled:
            self.signal = int(signalled)
            return "signal"
        return "patience" if patience is not None and standing.evaluations_without_better >= patience else None

    def _tell(self, columns: dict[str, float], standing: Standing, *, last: bool) -> None:
        """The step's columns to the files and to the screen."""
        logged = last or is_logged(standing.step, self.every.log) or self.evaluation is not None
        if not (logged or self.line is not None):
            return
        told = self._columns(standing, columns)
        if logged:
            self._window.restart()
            for sink in self.sinks:
                sink.write(standing.step, told)
        if self.line is not None:
            self.line.show(standing.step, told, logged=logged)

    def _columns(self, standing: Standing, columns: dict[str, float]) -> dict[str, Any]:
        """All that is known of a step, by name."""
        result = self.last
        assert result is not None
        tokens_per_s = self._window.tokens_per_s
        told: dict[str, Any] = {
            "loss": result.loss,
            "tokens": standing.tokens,
            "tokens_per_s": tokens_per_s,
            "mfu": self.peak.share(tokens_per_s * self.flop_per_token),
            "learning_rate": self.stepper.optimizers.learning_rate,
            "gradient_norm": result.gradient_norm,
            "elapsed_s": standing.elapsed_s,
            "eta_s": standing.elapsed_s / standing.step * (self.last_step - standing.step),
        }
        if result.sentence_loss is not None:
            told |= {"token_loss": result.token_loss, "sentence_loss": result.sentence_loss}
        if self._window.padded_fraction:
            told["padded_fraction"] = self._window.padded_fraction
        if self.bytes_per_token is not None:
            told["bits_per_byte"] = bits_per_byte(result.token_loss, self.bytes_per_token)
        if self.evaluation is not None:
            told["validation_loss"] = self.evaluation.loss
            if self.evaluation.bits_per_byte is not None:
                told["validation_bits_per_byte"] = self.evaluation.bits_per_byte
            told |= {f"validation_{name}": value for name, value in self.evaluation.metrics.items()}
        return told | {name: value for name, value in columns.items() if name != STOP}


@dataclass(slots=True)
class _Window:
    """Time and tokens of the steps since the last logged one, evaluation and checkpoints left out."""

    seconds: float = 0.0
    tokens: int = 0
    places: int = 0
    old: bool = False

    @property
    def padded_fraction(self) -> float:
        return 1 - self.tokens / max(self.places, 1)

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / max(self.seconds, 1e-9)

    def add(self, seconds: float, counted: Counted) -> None:
        if self.old:
            self.seconds, self.tokens, self.places, self.old = 0.0, 0, 0, False
        self.seconds += seconds
        self.tokens += counted.tokens
        self.places += counted.places

    def restart(self) -> None:
        self.old = True


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """The signal that asks the process to end (Ctrl-C, SIGTERM): the step is finished, and its state saved.

    Asked a second time it ends at once. Only the main thread may listen to signals.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
