"""Those who watch a run: meters, budgets, whoever has the three methods. None of them can break it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tonne.train.ahead import Ahead

LOGGER = logging.getLogger(__name__)
STOP = "stop"


class Observer(Protocol):
    """Told of the start, of each step and of the end; built-in types only."""

    def on_start(self, total_steps: int | None, tokens_per_step: int | None) -> None:
        """Before the first step of this process."""

    def on_step(self, step: int, tokens: int, loss: float) -> Mapping[str, float] | None:
        """After each step: its number from 1, the tokens in it, its loss; returns columns for the live line.

        The key ``stop`` with a value other than zero ends the run after this step, its state saved.
        """

    def on_end(self, error: BaseException | None) -> None:
        """After the last step, or when an error ended the run."""


class Foreteller(Observer, Protocol):
    """An observer that wants to know more: two further methods, each of which it may have or not."""

    def on_outlook(self, ahead: Ahead) -> Sequence[str] | None:
        """Before the start: what lies ahead. What is returned is said, line by line.

        All processes must have such an observer, or none: ``ahead.trial`` is called by all together.
        """

    def on_stage(self, name: str, duration_s: float) -> None:
        """After an evaluation, a checkpoint, a sample of text, and the finish: what it took [s]."""


class Observers:
    """All of them; one that raises is reported once, and told nothing more."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._listening = list(observers)

    def on_start(self, total_steps: int | None, tokens_per_step: int | None) -> None:
        """Tell all of the start."""
        self._tell(lambda observer: observer.on_start(total_steps, tokens_per_step))

    @property
    def foretell(self) -> bool:
        """Whether somebody says what lies ahead."""
        return any(hasattr(one, "on_outlook") for one in self._listening)

    def on_outlook(self, ahead: Callable[[], Ahead]) -> list[str]:
        """The lines of those who want to know what lies ahead; where nobody does, nobody looks."""
        asking = [one for one in self._listening if hasattr(one, "on_outlook")]
        if not asking:
            return []
        found = ahead()
        answers = self._tell(lambda observer: observer.on_outlook(found), asking)
        return [line for lines in answers for line in lines or ()]

    def on_stage(self, name: str, duration_s: float) -> None:
        """Tell those who want to know what a part of the time between steps took [s]."""
        asking = [one for one in self._listening if hasattr(one, "on_stage")]
        self._tell(lambda observer: observer.on_stage(name, duration_s), asking)

    def on_step(self, step: int, tokens: int, loss: float) -> dict[str, float]:
        """Tell all of a step.

        Returns:
            Their columns together; of two of one name the later observer's.
        """
        columns: dict[str, float] = {}
        for found in self._tell(lambda observer: _columns(observer.on_step(step, tokens, loss))):
            stop = columns.get(STOP, 0.0) or found.get(STOP, 0.0)
            columns |= found
            if stop:
                columns[STOP] = stop
        return columns

    def on_end(self, error: BaseException | None) -> None:
        """Tell all of the end."""
        self._tell(lambda observer: observer.on_end(error))

    def _tell(self, message: Callable[[Any], Any], told: Sequence[Observer] | None = None) -> list[Any]:
        """What each of them answers, of all or of some."""
        answers: list[Any] = []
        for observer in list(self._listening if told is None else told):
            try:
                answers.append(message(observer))
            except Exception as error:  # whatever it is, it must not end hours of training
                self._listening.remove(observer)
                name = type(observer).__name__
                LOGGER.warning("%s raised %s: %s. It is told nothing more.", name, type(error).__name__, error)
        return answers


def _columns(answer: Mapping[str, float] | None) -> dict[str, float]:
    """An observer's columns as plain floats; what is no number is its fault, and drops it."""
    columns = {str(name): float(value) for name, value in (answer or {}).items()}
    return {name: value for name, value in columns.items() if name == STOP or math.isfinite(value)}
