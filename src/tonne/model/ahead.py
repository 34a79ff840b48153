"""Work done ahead of its pass: a loss that makes its gradients in the forward pass says so here, for the counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_AHEAD: ContextVar[bool] = ContextVar("gradients_ahead", default=False)


@contextmanager
def gradients_ahead() -> Iterator[None]:
    """What is executed inside belongs to the backward pass, though the forward pass is still running."""
    before = _AHEAD.set(True)
    try:
        yield
    finally:
        _AHEAD.reset(before)


def is_ahead() -> bool:
    """Whether what is executed now belongs to the backward pass."""
    return _AHEAD.get()
