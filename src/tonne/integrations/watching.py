"""What the bridges to training libraries share: a run's watch, and classes that are made below the library's own."""

from __future__ import annotations

from tonne.errors import MissingPackageError
from tonne.measure.watching import FAILED, FINISHED, STOPPED, Watch, columns_of, status_after

__all__ = [
    "FAILED",
    "FINISHED",
    "STOPPED",
    "Watch",
    "columns_of",
    "missing",
    "status_after",
    "subclass_of",
    "unknown_name",
]


def subclass_of(base: type, events: type, module: str) -> type:
    """The class that a library wants to see: our events, below its own base class.

    Made when it is asked for, so that importing a bridge loads no library; picklable by its module's name.

    Args:
        base: Of the library.
        events: Methods and docstring.
        module: In which the class can be found again.
    """
    return type(events.__name__.removeprefix("_"), (events, base), {"__doc__": events.__doc__, "__module__": module})


def unknown_name(module: str, asked: str) -> AttributeError:
    """The error of a bridge that is asked for another name than its one."""
    return AttributeError(f"module {module!r} has no attribute {asked!r}. There is: MeterCallback.")


def missing(library: str, install: str) -> MissingPackageError:
    """The error of a bridge whose library is not installed."""
    return MissingPackageError(f"this bridge needs {library}, which is not installed. Run: pip install {install}")
