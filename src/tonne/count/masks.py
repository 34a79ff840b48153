"""How many positions are attended to: the ones in a mask matrix, counted without building it."""

from __future__ import annotations

from typing import TypeVar

Number = TypeVar("Number", int, float)


def minimum(first: Number, second: Number) -> Number:
    """The smaller one, element by element for arrays."""
    return first * (first <= second) + second * (first > second)


def maximum(first: Number, second: Number) -> Number:
    """The larger one, element by element for arrays."""
    return first * (first >= second) + second * (first < second)


def whole(number: float) -> int:
    """The nearest whole number, halves up: an int for a number, floats for an array."""
    rounded = (number + 0.5) // 1
    return int(rounded) if isinstance(rounded, int | float) else rounded


def full_positions(queries: int, keys: int) -> int:
    """Every query sees every key."""
    return queries * keys


def causal_positions(length: int, prefix: int = 0) -> int:
    """A token sees itself and all before it; within the first ``prefix`` tokens all see one another."""
    return length * (length + 1) // 2 + prefix * (prefix - 1) // 2


def causal_window_positions(length: int, window: int) -> int:
    """A token sees itself and the ``window`` - 1 before it."""
    reach = minimum(window, length)
    return reach * (reach + 1) // 2 + (length - reach) * reach


def two_sided_window_positions(length: int, window: int) -> int:
    """A token sees itself and ``window`` // 2 to either side."""
    reach = minimum(window // 2, length - 1)
    return length + 2 * reach * length - reach * (reach + 1)
