"""What is made of torch modules: the transformer itself, and counting any module by dispatch.

The public names are loaded when they are first used: importing the room loads no torch.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing; type checkers read it as true

if TYPE_CHECKING:
    from tonne.model.generation import generate as generate
    from tonne.model.huggingface import from_huggingface as from_huggingface
    from tonne.model.huggingface import to_huggingface as to_huggingface
    from tonne.model.loss import linear_cross_entropy as linear_cross_entropy
    from tonne.model.module_count import count_module as count_module
    from tonne.model.transformer import Transformer as Transformer

_HOME_OF = {
    "Transformer": "tonne.model.transformer",
    "count_module": "tonne.model.module_count",
    "from_huggingface": "tonne.model.huggingface",
    "generate": "tonne.model.generation",
    "linear_cross_entropy": "tonne.model.loss",
    "to_huggingface": "tonne.model.huggingface",
}

__all__ = ["Transformer", "count_module", "from_huggingface", "generate", "linear_cross_entropy", "to_huggingface"]


def __getattr__(name: str) -> object:
    """The public `name`, imported from its home on first use and kept."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tonne.model' has no attribute {name!r}. Public names: {', '.join(_HOME_OF)}.")
    try:
        value: object = getattr(import_module(home), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise ModuleNotFoundError(
            f"tonne.model.{name} needs torch, which is not installed. Run: pip install 'tonne[train]'", name="torch"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_HOME_OF})
