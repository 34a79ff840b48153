"""Training a transformer: data, objectives, the loop, checkpoints; tasks, their metrics and predictions.

The public names are loaded when they are first used: importing the room loads no torch.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing; type checkers read it as true

if TYPE_CHECKING:
    from tonne.train.finetuning import finetune as finetune
    from tonne.train.finetuning import finetuning_job as finetuning_job
    from tonne.train.fitting import Session as Session
    from tonne.train.fitting import fit as fit
    from tonne.train.job import job_of as job_of
    from tonne.train.labelled_reading import read_labelled as read_labelled
    from tonne.train.lora import add_adapters as add_adapters
    from tonne.train.lora import load_adapters as load_adapters
    from tonne.train.lora import merge_adapters as merge_adapters
    from tonne.train.lora import save_adapters as save_adapters
    from tonne.train.metrics import score as score
    from tonne.train.predictions import predict as predict
    from tonne.train.scoring import evaluated as evaluated
    from tonne.train.trained import read_trained as read_trained

_HOME_OF = {
    "Session": "tonne.train.fitting",
    "add_adapters": "tonne.train.lora",
    "evaluated": "tonne.train.scoring",
    "finetune": "tonne.train.finetuning",
    "finetuning_job": "tonne.train.finetuning",
    "fit": "tonne.train.fitting",
    "job_of": "tonne.train.job",
    "load_adapters": "tonne.train.lora",
    "merge_adapters": "tonne.train.lora",
    "predict": "tonne.train.predictions",
    "read_labelled": "tonne.train.labelled_reading",
    "read_trained": "tonne.train.trained",
    "save_adapters": "tonne.train.lora",
    "score": "tonne.train.metrics",
}

__all__ = [
    "Session",
    "add_adapters",
    "evaluated",
    "finetune",
    "finetuning_job",
    "fit",
    "job_of",
    "load_adapters",
    "merge_adapters",
    "predict",
    "read_labelled",
    "read_trained",
    "save_adapters",
    "score",
]


def __getattr__(name: str) -> object:
    """The public `name`, imported from its home on first use and kept."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tonne.train' has no attribute {name!r}. Public names: {', '.join(_HOME_OF)}.")
    try:
        value: object = getattr(import_module(home), name)
    except ModuleNotFoundError as missing:
        if missing.name not in ("torch", "safetensors"):
            raise
        raise ModuleNotFoundError(
            f"tonne.train.{name} needs {missing.name}, which is not installed. Run: pip install 'tonne[train]'",
            name=missing.name,
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_HOME_OF})
