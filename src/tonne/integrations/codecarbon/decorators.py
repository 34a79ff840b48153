"""`track_emissions`, `track_task_emissions` and `TaskEmissionsTracker`, as CodeCarbon has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from tonne.integrations.codecarbon.settings import PARAMETERS
from tonne.integrations.codecarbon.tracker import BaseEmissionsTracker, EmissionsTracker, OfflineEmissionsTracker

Function = Callable[..., Any]


def track_emissions(
    fn: Function | None = None,
    *arguments: Any,  # noqa: ANN401 - as a tracker takes
    offline: bool = False,
    **named: Any,  # noqa: ANN401 - as above
) -> Function:
    """The function, each of its calls tracked; or what makes it, where it is called with settings.

    Args:
        fn: The function.
        arguments: Of `EmissionsTracker`, in CodeCarbon's order.
        offline: Whether the place must be given.
        named: Of `EmissionsTracker` or `OfflineEmissionsTracker`, by name.

    Raises:
        ValueError: `offline` without a place, when the function is called.
    """
    settings = {**dict(zip(PARAMETERS, arguments, strict=False)), **named}

    def decorated(function: Function) -> Function:
        @wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
            with _tracker(offline, settings):
                return function(*args, **kwargs)

        return tracked

    return decorated if fn is None else decorated(fn)


def _tracker(offline: bool, settings: dict[str, Any]) -> BaseEmissionsTracker:
    if not offline:
        return EmissionsTracker(**settings)
    if not settings.get("country_iso_code") and not settings.get("cloud_provider"):
        raise ValueError("offline=True needs a place: give country_iso_code='FRA', or cloud_provider and cloud_region.")
    return OfflineEmissionsTracker(**settings)


class TaskEmissionsTracker:
    """A task of a tracker, for `with`; without a tracker, of one of its own."""

    def __init__(self, task_name: str, tracker: BaseEmissionsTracker | None = None) -> None:
        """A task that has not begun."""
        self.is_default_tracker = tracker is None
        self.tracker = tracker or EmissionsTracker()
        self.task_name = task_name

    def __enter__(self) -> TaskEmissionsTracker:
        """Begin."""
        self.tracker.start_task(self.task_name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; an error goes on to whoever waits for it."""
        self.tracker.stop_task()
        if self.is_default_tracker:
            self.tracker.stop()


def track_task_emissions(
    fn: Function | None = None, tracker: BaseEmissionsTracker | None = None, task_name: str = ""
) -> Function:
    """The function, each of its calls a task of the tracker, or of one of its own.

    Args:
        fn: The function; left out, what makes it is returned.
        tracker: Of the tasks.
        task_name: Of the tasks; left out, an id.
    """

    def decorated(function: Function) -> Function:
        @wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
            with TaskEmissionsTracker(task_name, tracker):
                return function(*args, **kwargs)

        return tracked

    return decorated if fn is None else decorated(fn)
