"""Making the next batches while the model computes, on one thread.

An error there is raised here, at the step whose batch could not be made; leaving the `with` block ends the thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Generic, TypeVar

Made = TypeVar("Made")
DEPTH = 2  # batches ahead: one being used, one waiting
_POLL_S = 0.2  # how soon a waiting side notices that the other has gone


class Prefetch(Generic[Made]):
    """What `make(step)` returns for step after step, in order, made ahead of time; use it in a `with` statement."""

    def __init__(self, make: Callable[[int], Made], steps: range, *, depth: int = DEPTH) -> None:
        """Start to make the first ones.

        Args:
            make: Makes what belongs to a step; it is called on the thread.
            steps: The steps.
            depth: How many are made ahead.
        """
        self._queue: Queue[tuple[Made | None, BaseException | None]] = Queue(maxsize=depth)
        self._steps, self._stop = steps, threading.Event()
        self._thread = threading.Thread(
            target=_work, args=(make, steps, self._queue, self._stop), name="tonne-prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[int, Made]]:
        """Each step and what was made for it.

        Raises:
            BaseException: Whatever `make` raised.
        """
        for step in self._steps:
            made, error = self._next(step)
            if error is not None:
                raise error
            yield step, made  # type: ignore[misc]  # without an error it was made

    def __enter__(self) -> Prefetch[Made]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, and wait until it has ended."""
        self._stop.set()
        self._thread.join()

    def _next(self, step: int) -> tuple[Made | None, BaseException | None]:
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    raise RuntimeError(f"the batches were closed before step {step} was made") from None


def _work(
    make: Callable[[int], Made],
    steps: range,
    queue: Queue[tuple[Made | None, BaseException | None]],
    stop: threading.Event,
) -> None:
    """Make what belongs to each step until told to stop; no method, so that the thread keeps no owner alive."""
    for step in steps:
        try:
            made: tuple[Made | None, BaseException | None] = (make(step), None)
        except BaseException as error:
            made = (None, error)
        if not _handed_over(made, queue, stop) or made[1] is not None:
            return


def _handed_over(
    made: tuple[Made | None, BaseException | None],
    queue: Queue[tuple[Made | None, BaseException | None]],
    stop: threading.Event,
) -> bool:
    """Whether it found a place in the queue before it was told to stop."""
    while not stop.is_set():
        try:
            queue.put(made, timeout=_POLL_S)
        except Full:
            continue
        return True
    return False
