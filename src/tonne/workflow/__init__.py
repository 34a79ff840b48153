"""Forecast, train, meter, ledger, reconcile, in that order: what commands and notebooks call.

The public names are loaded when they are first used: importing the room loads no torch.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing; type checkers read it as true

if TYPE_CHECKING:
    from tonne.workflow.asked import Asked as Asked
    from tonne.workflow.running import Trained as Trained
    from tonne.workflow.running import finetune as finetune
    from tonne.workflow.running import train as train

_HOME_OF = {
    "Asked": "tonne.workflow.asked",
    "Trained": "tonne.workflow.running",
    "finetune": "tonne.workflow.running",
    "train": "tonne.workflow.running",
}

__all__ = ["Asked", "Trained", "finetune", "train"]


def __getattr__(name: str) -> object:
    """The public `name`, imported from its home on first use and kept."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tonne.workflow' has no attribute {name!r}. Public: {', '.join(_HOME_OF)}.")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
