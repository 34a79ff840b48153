"""What is made of torch modules: the transformer itself, and counting any module by dispatch."""

from __future__ import annotations

from importlib import import_module

_HOME_OF = {
    "Transformer": "tonne.model.transformer",
    "count_module": "tonne.model.module_count",
    "from_huggingface": "tonne.model.huggingface",
    "to_huggingface": "tonne.model.huggingface",
    "generate": "tonne.model.generation",
    "linear_cross_entropy": "tonne.model.loss",
}

__all__ = ["Transformer", "count_module", "from_huggingface", "generate", "linear_cross_entropy", "to_huggingface"]


def __getattr__(name: str) -> object:
    """The public `name`, imported from its home on first use and kept: importing the room loads no torch."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tonne.model' has no attribute {name!r}. Public names: {', '.join(__all__)}.")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
