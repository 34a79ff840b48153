"""A folder as transformers saves one -> a model with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from tonne.describe.architecture import Architecture
from tonne.describe.huggingface.config import Config, read_config
from tonne.describe.huggingface.numerics import not_held
from tonne.errors import WeightsError
from tonne.model.huggingface import names_t5
from tonne.model.huggingface.copying import check_shapes, check_zero, differ, dtype_of, fill, sources
from tonne.model.huggingface.families import read_architecture
from tonne.model.huggingface.layouts import LAYOUTS, layout_of
from tonne.model.huggingface.places import Place
from tonne.model.huggingface.shards import Stored, listed, stored_tensors
from tonne.model.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Mapping


def from_huggingface(
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    dropout: float = 0.0,
    attention_dropout: float | None = None,
) -> Transformer:
    """The model of a folder with config.json and safetensors files.

    Each tensor is copied from the mapped file straight to where it lies in the model: no second copy is held, and
    nothing is read before names and shapes fit.

    Args:
        folder: Of a model as transformers saves it: model types gpt2, bert, t5, bart, llama, mistral, qwen2.
        dtype: Type that its numbers are to have; left out, that of the files.
        device: Where it is to lie; left out, the current default device.
        dropout: As ``Transformer`` takes it; what config.json says of dropout is not read.
        attention_dropout: So too.

    Returns:
        The class that config.json names.

    Raises:
        WeightsError: It is no such folder, its type is not read, or its files are broken or not those of config.json.
        PlanFileError: There is no config.json, or it is not JSON.
        DescriptionError: config.json has a value that cannot be.
    """
    folder = Path(folder)
    config = _config(folder)
    stored = stored_tensors(folder)
    architecture = _with_own_output(read_architecture(config), config, stored)
    layout = layout_of(architecture, config)
    found = sources(layout, stored, folder)
    own = dtype_of(_read(found, stored), dtype, config.given, folder)
    with _Undrawn():
        model = Transformer(
            architecture, dropout=dropout, attention_dropout=attention_dropout, device="meta", dtype=own
        )
    check_shapes(found, stored, dict(model.named_parameters()), folder)
    check_zero(layout, stored, folder)
    _lay_out(model, torch.get_default_device() if device is None else torch.device(device))
    fill(dict(model.named_parameters()), found, stored)
    return model


def _lay_out(model: torch.nn.Module, device: torch.device) -> None:
    """Give the tensors of a model on the meta device room on another.

    As ``Module.to_empty`` does; but that asks for tensors like those of the meta device, for which torch loads its
    compiler and sympy, 35 MB.
    """
    made: dict[torch.Tensor, torch.Tensor] = {}  # one that two modules share stays one
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is None:
                    continue
                if tensor not in made:
                    room = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                    learns = isinstance(tensor, torch.nn.Parameter)
                    made[tensor] = torch.nn.Parameter(room, tensor.requires_grad) if learns else room
                held[name] = made[tensor]  # type: ignore[assignment]  # a parameter for a parameter


class _Undrawn(TorchFunctionMode):
    """Leaves undrawn what is about to be read; on the meta device torch would load its compiler to draw nothing."""

    def __torch_function__(  # torch's own signature
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """What the function gives; of one that draws, the tensor as it is."""
        given = kwargs or {}
        return given["tensor"] if func is torch.nn.init.normal_ else func(*args, **given)


def _read(found: Mapping[Place, list[str]], stored: Mapping[str, Stored]) -> dict[str, Stored]:
    return {name: stored[name] for names in found.values() for name in names}


def _config(folder: Path) -> Config:
    """The folder's config.json, of a type whose weights are read."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise WeightsError(
            f"{folder} {what}; weights are read from a folder. Give the one that holds config.json and "
            f"model.safetensors."
        )
    config = read_config(folder)
    if config.model_type not in LAYOUTS:
        raise WeightsError(
            f"{config.file}: weights of model_type {config.model_type!r} are not read. Known: "
            f"{', '.join(sorted(LAYOUTS))}. `tonne count` and `tonne forecast` take more types: they need config.json "
            f"alone."
        )
    missing = not_held(config)
    if missing:
        raise WeightsError(
            f"{config.file} asks for {listed(missing)}, which no field of Architecture holds: the logits would be "
            f"others. Such a model is not read."
        )
    return config


def _with_own_output(a: Architecture, config: Config, stored: Mapping[str, Stored]) -> Architecture:
    """T5's Architecture, untied where the folder holds an output table of its own.

    Its configuration does not say: transformers ties the tables whenever the folder holds one of them, or two alike.
    """
    if config.model_type != "t5" or config.head not in (None, "seq2seq"):
        return a
    tables = [stored[name] for name in ("shared.weight", names_t5.OUTPUT) if name in stored]
    if len(tables) == 2 and differ(tables[0], "shared.weight", tables[1], names_t5.OUTPUT):
        return a.model_copy(update={"tied_embeddings": False})
    return a
