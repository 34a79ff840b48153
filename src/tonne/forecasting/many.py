"""Many plans at once: the same equations over arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any

from tonne.describe.plan import TrainingPlan
from tonne.describe.quantity import Quantity
from tonne.errors import DescriptionError, ElementError, TonneError
from tonne.estimate import Estimate, propagate
from tonne.forecasting.inputs import Inputs, inputs_of
from tonne.forecasting.modification import architecture_is_the_starts
from tonne.forecasting.outcome import outcome
from tonne.forecasting.single import Forecast, account_of, dependencies, forecast
from tonne.reference.calibration import Calibration, shipped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Where = NDArray[np.intp] | slice  # elements among all

GROUPED = (  # rules between fields: each distinct combination is a plan of its own
    "architecture.",
    "cluster.accelerators_per_node",
    "schedule.measured_step.",
    "training.frozen_layers",
    "start.sequence_length",
)
BLOCK = 16384  # layouts at once: so many that their temporary arrays stay in the processor's cache


def forecast_many(
    plan: TrainingPlan,
    fields: Mapping[str, ArrayLike],
    calibration: Calibration | None = None,
    *,
    intervals: bool = True,
) -> Forecast:
    """The forecasts of a plan with some of its fields as arrays.

    Args:
        plan: What all have in common.
        fields: Arrays by dotted field name ("cluster.accelerators", "data.tokens", "site.grid"), numbers or names,
            broadcast against each other.
        calibration: Fitted coefficients; the shipped ones where left out: own measured runs are used where they are
            passed (`shipped().with_own(own_runs(path))`), while commands read their file by themselves.
        intervals: Whether low and high are wanted; without them low and high repeat the value.

    Returns:
        A Forecast whose numbers are float64 arrays of the broadcast shape; NaN where an element is unknown while
        another is known. `memory` is None.

    Raises:
        ElementError: An element is out of range; the text holds its index and what is wrong with it.
        DescriptionError: No field is given, one of [inference] is, or the shapes do not broadcast.
    """
    import numpy as np

    if not fields:
        raise DescriptionError("fields is empty. Name at least one, e.g. {'data.tokens': [1e9, 1e10]}.")
    names = list(fields)
    of_use = [name for name in names if name.startswith("inference.")]
    if of_use:
        raise DescriptionError(
            f"{of_use[0]} changes nothing of a training run, which forecast_many() forecasts. "
            f"Call forecast_inference() for each plan."
        )
    try:
        arrays = dict(zip(names, np.broadcast_arrays(*(np.asarray(fields[n]) for n in names)), strict=True))
    except ValueError as error:
        raise DescriptionError(f"the arrays do not broadcast: {error}. Give arrays of one shape.") from None
    shape = arrays[names[0]].shape
    flat = {name: array.reshape(-1) for name, array in arrays.items()}
    used = calibration or shipped()
    parts = [
        (index, _group(plan, {n: a[index] for n, a in flat.items()}, index, used, intervals=intervals))
        for index in _groups(flat)
    ]
    size = int(np.prod(shape, dtype=int))
    merged: Forecast = _merge([f for _, f in parts], [i for i, _ in parts], size, shape)
    return merged


def _groups(flat: Mapping[str, NDArray[Any]]) -> Iterator[NDArray[np.intp]]:
    """Indices of the elements that share all their names."""
    import numpy as np

    named = [a.astype(str) for name, a in flat.items() if not _is_number(name, a)]
    size = next(iter(flat.values())).size
    if not named:
        yield np.arange(size)
        return
    _, which = np.unique(np.stack(named), axis=1, return_inverse=True)
    for group in range(int(which.max()) + 1):
        yield np.flatnonzero(which == group)


def _is_number(name: str, array: NDArray[Any]) -> bool:
    """Whether a field stays an array: a number that no other field restricts."""
    return array.dtype.kind in "iuf" and not name.startswith(GROUPED)


def _group(
    plan: TrainingPlan,
    flat: Mapping[str, NDArray[Any]],
    index: NDArray[np.intp],
    calibration: Calibration,
    *,
    intervals: bool,
) -> Forecast:
    """The forecasts of elements that share all their names."""
    numbers = {n: a.astype(float) for n, a in flat.items() if _is_number(n, a)}
    for element in _elements_to_check(numbers, len(index)):
        _element(plan, flat, element, int(index[element]))
    first = _element(plan, flat, 0, int(index[0]))
    alone = forecast(first, calibration)
    rests_on = dependencies(outcome, alone.inputs)
    size = len(index)
    block = BLOCK if first.parallelism is not None else size  # a search wants to see all sizes at once
    slices = [slice(start, min(start + block, size)) for start in range(0, size, block)]
    bases = None if intervals else propagate(outcome, alone.inputs, drivers=rests_on).outputs
    parts = []
    for where in slices:
        shadow = _shadow(first, {n: a[where] for n, a in numbers.items()})
        wrong = _wrong_layout(shadow, where.stop - where.start)
        if wrong is not None:
            _element(plan, flat, where.start + wrong, int(index[where.start + wrong]))
        try:
            given = inputs_of(shadow, calibration)
        except TonneError as error:
            raise ElementError(f"among the elements: {error}", int(index[where.start])) from None
        parts.append(_part(shadow, given, rests_on, bases))
    merged: Forecast = parts[0] if len(parts) == 1 else _merge(parts, slices, size, (size,))
    return replace(merged, plan=plan)


def _shadow(first: TrainingPlan, numbers: Mapping[str, NDArray[np.float64]]) -> TrainingPlan:
    """The first element's plan with arrays in place of its numbers."""
    shadow = first
    for name, array in numbers.items():
        shadow = _with(shadow, name.split("."), array.round() if name == "data.tokens" else array)
    return shadow


def _wrong_layout(shadow: TrainingPlan, size: int) -> int | None:
    """The first element whose layout does not take all of its accelerators, or has copies without a sequence."""
    import numpy as np

    p = shadow.parallelism
    if p is None or shadow.cluster.accelerators is None:
        return None
    batch = shadow.training.global_batch_sequences
    starved = False if batch is None else np.less(batch, p.data)
    unlike = np.not_equal(p.accelerators, shadow.cluster.accelerators)
    wrong = np.flatnonzero(np.broadcast_to(unlike | starved, size))
    return int(wrong[0]) if wrong.size else None


def _part(
    shadow: TrainingPlan, given: Inputs, rests_on: Mapping[str, list[str]], bases: Mapping[str, Estimate | None] | None
) -> Forecast:
    """The forecasts of a plan of arrays; with the bases of the outputs, their central values alone."""
    if bases is None:
        found = propagate(outcome, given.factors, drivers=rests_on).outputs
    else:
        central = outcome({n: e.value for n, e in given.factors.items()})
        found = {n: _central(v, bases[n]) for n, v in central.items()}
    return Forecast(
        plan=shadow,
        counts=given.counts,
        memory=None,
        account=account_of(found, {}, given),
        notes=given.notes,
        inputs=given.factors,
        modification=given.modification,
    )


def _central(value: Any, like: Estimate | None) -> Estimate | None:  # noqa: ANN401 - float or array
    return None if value is None or like is None else replace(like, value=value, low=value, high=value)


def _elements_to_check(numbers: Mapping[str, NDArray[np.float64]], size: int) -> list[int]:
    """Elements whose soundness tells that of all: fields have ranges, so the ends and what is no number suffice."""
    import numpy as np

    chosen: set[int] = set()
    for array in numbers.values():
        finite = np.isfinite(array)
        chosen.update({int(np.argmin(finite)), int(np.argmin(array)), int(np.argmax(array))})
        chosen.add(int(np.argmax(array != np.floor(array))))
    return sorted(i for i in chosen if i < size)


def _element(plan: TrainingPlan, flat: Mapping[str, NDArray[Any]], position: int, index: int) -> TrainingPlan:
    """The plan of one element, checked."""
    described = plan.model_dump(exclude_unset=True)
    if "start.from" in flat and architecture_is_the_starts(plan):
        described.pop("architecture")  # each start brings its own
    for name, array in flat.items():
        value = array[position].item()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        _put(described, name.split("."), value)
    try:
        return TrainingPlan.from_fields(described, origin=f"element {index}")
    except TonneError as error:
        raise ElementError(str(error), index) from None


def _put(described: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401 - number or name
    if path == ["architecture", "preset"]:
        described["architecture"] = {"preset": value}
        return
    for step in path[:-1]:
        below = described.setdefault(step, {})
        described = below if isinstance(below, dict) else {}
    described[path[-1]] = value


def _with(section: Any, path: list[str], array: NDArray[np.float64]) -> Any:  # noqa: ANN401 - pydantic sections
    """A copy of a checked section with an array in place of one number."""
    current = getattr(section, path[0])
    if len(path) > 1:
        return section.model_copy(update={path[0]: _with(current, path[1:], array)})
    if isinstance(current, Quantity):
        return section.model_copy(
            update={path[0]: current.model_copy(update={"value": array, "low": None, "high": None})}
        )
    return section.model_copy(update={path[0]: array})


def _merge(parts: list[Any], index: Sequence[Where], size: int, shape: tuple[int, ...]) -> Any:  # noqa: ANN401
    """Numbers of the groups put back in the order of the elements."""
    import numpy as np

    first = next((p for p in parts if p is not None), None)
    if isinstance(first, Estimate):
        return _merged_estimate(parts, index, size, shape)
    if is_dataclass(first) and not isinstance(first, type):
        names = [f.name for f in fields_of(first)]
        merged = {
            n: _merge([getattr(p, n) if p is not None else None for p in parts], index, size, shape) for n in names
        }
        return type(first)(**merged)
    if isinstance(first, dict):
        keys = dict.fromkeys(k for p in parts if p for k in p)
        return {k: _merge([(p or {}).get(k) for p in parts], index, size, shape) for k in keys}
    if isinstance(first, tuple):
        return tuple(dict.fromkeys(item for p in parts if p for item in p))
    if isinstance(first, int | float | np.ndarray) and not isinstance(first, bool):
        return _filled(parts, index, size, shape)
    return first


def _filled(parts: list[Any], index: Sequence[Where], size: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    import numpy as np

    if all(isinstance(part, int | float) and part == parts[0] for part in parts):
        return np.broadcast_to(np.float64(parts[0]), shape)  # the same for all: no memory is spent on it
    if len(parts) == 1 and isinstance(parts[0], np.ndarray) and parts[0].size == size:
        return parts[0].astype(float, copy=False).reshape(shape)  # one group holds all elements in their order
    whole = np.full(size, np.nan) if any(part is None for part in parts) else np.empty(size)
    for part, where in zip(parts, index, strict=True):
        if part is not None:
            whole[where] = part
    return whole.reshape(shape)


def _merged_estimate(
    parts: list[Estimate | None], index: Sequence[Where], size: int, shape: tuple[int, ...]
) -> Estimate:
    from tonne.estimate import weakest

    known = [p for p in parts if p is not None]

    def filled(name: str) -> NDArray[np.float64]:
        return _filled([None if p is None else getattr(p, name) for p in parts], index, size, shape)

    value = filled("value")
    central = all(p.low is p.value and p.high is p.value for p in known)
    low, high = (value, value) if central else (filled("low"), filled("high"))
    sources = tuple(dict.fromkeys(s for p in known for s in p.sources))
    return Estimate(value=value, low=low, high=high, basis=weakest(p.basis for p in known), sources=sources)
