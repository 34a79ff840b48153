"""A function whose calls are measured, of whatever kind it is: what `@tonne.track` makes of it."""

from __future__ import annotations

import time
from functools import wraps

from tonne.errors import DescriptionError
from tonne.measure.windows import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Any

    from tonne.measure.meter import Meter

GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200  # flags of a function's code, as of the module inspect


class Call:
    """One call of a decorated function."""

    __slots__ = ("_meter", "_window")

    def __init__(self, meter: Meter) -> None:
        """A call that has not begun."""
        self._meter = meter
        self._window = Window(meter, meter.calls_window)

    def __enter__(self) -> None:
        """Begin; the first call starts the meter."""
        self._meter.begin_call()
        self._window.open()

    def __exit__(self, *_: object) -> None:
        """End; the meter goes on for a while, as the next call may come soon."""
        self._window.close()
        self._meter.end_call(time.monotonic_ns())


def counted(meter: Meter, function: Any) -> Any:  # noqa: ANN401 - whatever can be called
    """The function, its calls measured: of a coroutine or a generator, until it is done.

    Raises:
        DescriptionError: It is a class, which has no calls of its own to measure.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(counted(meter, function.__func__))
    if isinstance(function, type):
        raise DescriptionError(
            f"{function.__name__} is a class, and it is calls of functions that are measured. "
            "Write @tonne.track above its methods, or `with tonne.track(...)` around what uses it."
        )
    flags = _flags(function)
    kinds = {GENERATOR: _generator, COROUTINE: _coroutine, ASYNC_GENERATOR: _async_generator}
    measured = next((make for flag, make in kinds.items() if flags & flag), _plain)(meter, function)
    measured.meter = meter  # type: ignore[attr-defined]
    return measured


def _flags(function: Any) -> int:  # noqa: ANN401 - as above
    """Of what kind it is: of a part of a function as the function, of an object as its `__call__`."""
    while hasattr(function, "func"):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return int(getattr(code, "co_flags", 0))


def _plain(meter: Meter, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes
        with Call(meter):
            return function(*args, **kwargs)

    return called


def _coroutine(meter: Meter, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        with Call(meter):
            return await function(*args, **kwargs)

    return called


def _generator(meter: Meter, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401 - as above
        with Call(meter):
            return (yield from function(*args, **kwargs))

    return called


def _async_generator(meter: Meter, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def called(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401 - as above
        with Call(meter):
            inner = function(*args, **kwargs)
            try:
                item = await anext(inner)
                while True:
                    try:
                        sent = yield item
                    except Exception as error:  # thrown in by who iterates: the function's to handle
                        item = await inner.athrow(error)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return called
