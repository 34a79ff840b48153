"""Low-rank adapters beside frozen linears: put in, merged into the weights, kept in a folder, and read again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from tonne.count.layers import stack_shape
from tonne.describe.adapters import Lora
from tonne.errors import DescriptionError, WeightsError
from tonne.model.making import Linear, Making
from tonne.train.optimizers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tonne.describe.architecture import Architecture
    from tonne.model.transformer import Transformer

ADAPTERS = "adapters"
WEIGHTS, DESCRIPTION = "adapter.safetensors", "adapter.json"
Rows = dict[str, tuple[int, int]]  # first and last + 1 row of a linear, by the target they belong to


class Adapter(nn.Module):
    """Two matrices whose product is added to some rows of a linear.

    Equation: dW = (alpha / r) B A, with A = reduce (r, features in), B = expand (features out, r).

    Source: hu2021lora, section 4.1.
    """

    def __init__(self, linear: nn.Linear, rank: int, rows: tuple[int, int], scale: float) -> None:
        """Beside rows of a linear; B is zero, so that nothing changes at first."""
        super().__init__()
        self.rows, self.scale = rows, scale
        self.reduce = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.expand = nn.Parameter(linear.weight.new_zeros(rows[1] - rows[0], rank))
        nn.init.kaiming_uniform_(self.reduce, a=math.sqrt(5))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """What is added to the rows, (..., rows)."""
        return functional.linear(functional.linear(states, self.reduce), self.expand) * self.scale

    def change(self) -> torch.Tensor:
        """What is added to the rows' weights, (rows, features in)."""
        return self.expand @ self.reduce * self.scale


class AdaptedLinear(nn.Module):
    """A frozen linear with adapters beside its rows; its weight keeps its name, so that checkpoints fit."""

    def __init__(self, linear: nn.Linear, lora: Lora, rows: Rows) -> None:
        """In the place of a linear, its tensors the very same."""
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        scale = (lora.alpha or lora.rank) / lora.rank
        self.adapters = nn.ModuleDict(
            {target: Adapter(linear, lora.rank, part, scale) for target, part in rows.items()}
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The product (..., features out), and the adapters' at their rows."""
        found = functional.linear(states, self.weight, self.bias)
        parts: list[torch.Tensor] = []
        done = 0
        for adapter in self.in_order():
            first, last = adapter.rows
            parts += [found[..., done:first], found[..., first:last] + adapter(states)]
            done = last
        return torch.cat([*parts, found[..., done:]], -1)

    def in_order(self) -> list[Adapter]:
        """The adapters by their rows, which do not overlap."""
        held = [adapter for adapter in self.adapters.values() if isinstance(adapter, Adapter)]
        return sorted(held, key=lambda adapter: adapter.rows)

    @torch.no_grad()
    def merged(self) -> Linear:
        """The plain linear with the adapters in its weight; the tensors stay the same, their numbers change."""
        for adapter in self.in_order():
            first, last = adapter.rows
            self.weight[first:last] += adapter.change()
        rows, columns = self.weight.shape
        made = Linear(columns, rows, bias=self.bias is not None, making=Making(device="meta"))
        made.weight, made.bias = self.weight, self.bias
        return made


def add_adapters(model: Transformer, lora: Lora) -> None:
    """Put adapters beside the targets' linears, and freeze all else but the head for labels.

    Raises:
        DescriptionError: The model has parts that take no adapter.
    """
    a = model.architecture
    shapes = {"latent attention": a.latent_attention, "experts": a.experts, "relative rows": a.relative_rows or None}
    untrained = [name for name, held in shapes.items() if held is not None]
    if untrained:
        raise DescriptionError(
            f"lora in a model with {' and '.join(untrained)} is counted by tonne forecast, and not trained here. Leave "
            f"lora out, or freeze layers."
        )
    model.requires_grad_(False)
    found = list(_targets(model, lora))
    for name, linear, rows in found:
        model.set_submodule(name, AdaptedLinear(linear, lora, rows))
    if model.task is not None:
        model.task.requires_grad_(True)


def merge_adapters(model: Transformer) -> None:
    """Add all adapters to the weights they stand beside; nothing where there are none."""
    for name, module in list(model.named_modules()):
        if isinstance(module, AdaptedLinear):
            model.set_submodule(name, module.merged())
    model.requires_grad_(True)


def has_adapters(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return any(isinstance(module, AdaptedLinear) for module in model.modules())


def save_adapters(model: Transformer, lora: Lora, folder: Path) -> Path:
    """Write the adapters alone, with the head for labels that learned beside them.

    Returns:
        The folder, new or not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learned = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(learned, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / DESCRIPTION).write_text(lora.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder


@torch.no_grad()
def load_adapters(model: Transformer, folder: str | Path) -> Lora:
    """Put the adapters of a folder beside the model that they were trained on.

    Raises:
        WeightsError: There are none, or they belong to another model.
    """
    place = Path(folder)
    try:
        lora = Lora.model_validate_json((place / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load_file(place / WEIGHTS)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{place} holds no adapters that can be read: {error}. Give the folder of some.") from None
    add_adapters(model, lora)
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    differing = sorted(
        name
        for name in wanted.keys() | tensors.keys()
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape
    )
    if differing:
        raise WeightsError(
            f"{place}: the adapters belong to another model: {differing[0]} is not the same. Load the model they were "
            f"trained on."
        )
    for name, parameter in wanted.items():
        parameter.copy_(tensors[name])
    return lora


def _targets(model: Transformer, lora: Lora) -> Iterator[tuple[str, Linear, Rows]]:
    """Each linear that has a target, its name, and the rows of each target."""
    a = model.architecture
    for name, module in model.named_modules():
        if isinstance(module, Linear) and LAYERS in name:
            shape = stack_shape(a, decoder=name.startswith("decoder") and a.kind == "encoder-decoder")
            rows = _rows_of(name.rpartition(".")[2], shape)
            chosen = {target: part for target, part in rows.items() if target.partition("-")[0] in lora.targets}
            if chosen:
                yield name, module, chosen


def _rows_of(name: str, a: Architecture) -> Rows:
    """The rows of a layer's linear by target; a gate and what it gates are two linears, and so have two adapters."""
    query, shared, inner = a.heads * a.head_width, a.kv_heads * a.head_width, a.feed_forward_width
    return {
        "query_key_value": {
            "query": (0, query),
            "key": (query, query + shared),
            "value": (query + shared, query + 2 * shared),
        },
        "key_value": {"key": (0, shared), "value": (shared, 2 * shared)},
        "query": {"query": (0, query)},
        "key": {"key": (0, shared)},
        "value": {"value": (0, shared)},
        "output": {"output": (0, a.width)},
        "gate_up": {"feed_forward-gate": (0, inner), "feed_forward-up": (inner, 2 * inner)},
        "up": {"feed_forward": (0, inner)},
        "down": {"feed_forward": (0, a.width)},
    }.get(name, {})
