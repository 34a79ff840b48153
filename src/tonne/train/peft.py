"""Adapters in the layout of the package PEFT: adapter_config.json, and adapter_model.safetensors by its names.

Each adapter stands beside a linear of the class of transformers. Where that class keeps as one matrix what has several
adapters here (GPT-2's queries, keys and values), they become one of a larger rank, whose second matrix has a block for
each: the sum is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from tonne.errors import WeightsError
from tonne.model.huggingface.families import config_for
from tonne.model.huggingface.layouts import layout_of
from tonne.train.lora import AdaptedLinear, Adapter

if TYPE_CHECKING:
    from tonne.describe.adapters import Lora
    from tonne.model.huggingface.places import Layout, Place
    from tonne.model.transformer import Transformer

PEFT_WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."  # before the names of the class that the adapters stand in
WEIGHT = ".weight"
TASKS = {
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside one linear of theirs, (rank, in) and (out, rank): their product is added to its weight."""

    name: str
    reduce: torch.Tensor
    expand: torch.Tensor
    transposed: bool

    @property
    def rank(self) -> int:
        """Rows of the first, columns of the second."""
        return len(self.reduce)


def save_peft(model: Transformer, lora: Lora, folder: Path, origin: str | Path | None = None) -> Path | None:
    """Write a model's adapters, with the head for labels that learned beside them, as PEFT reads them.

    Args:
        model: With adapters, as ``add_adapters`` makes one.
        lora: Their description.
        folder: Where to; made where it is not there.
        origin: Of the model that they stand beside, which PEFT asks for where nobody gives it.

    Returns:
        The folder; None, and nothing written, where no class of transformers builds the model.
    """
    try:
        config = config_for(model.architecture, None)
    except WeightsError:
        return None
    layout = layout_of(model.architecture, config)
    found = list(_beside(model, layout))
    tensors = {}
    for one in found:
        place = PREFIX + layout.written(one.name)
        tensors[f"{place}.lora_A{WEIGHT}"], tensors[f"{place}.lora_B{WEIGHT}"] = one.reduce, one.expand
    kept = dict(_learned_beside(model, layout))
    tensors |= {PREFIX + name: tensor for name, tensor in kept.items()}
    folder.mkdir(parents=True, exist_ok=True)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(held, folder / PEFT_WEIGHTS, metadata={"format": "pt"})
    described = _config(found, layout, lora) | {"modules_to_save": sorted({n.rpartition(".")[0] for n in kept}) or None}
    described |= {"base_model_name_or_path": None if origin is None else str(origin)}
    described |= {"task_type": next((t for end, t in TASKS.items() if str(config.class_name).endswith(end)), None)}
    (folder / PEFT_CONFIG).write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def _config(found: list[Beside], layout: Layout, lora: Lora) -> dict[str, Any]:
    """What PEFT builds the adapters from; linears of a larger rank are told apart."""
    alpha = lora.alpha or lora.rank
    larger = {_end(one.name): one.rank for one in found if one.rank != lora.rank}
    return {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(one.transposed for one in found),
        "inference_mode": True,
        "target_modules": _targets(found, layout),
        "rank_pattern": larger,
        "alpha_pattern": {name: alpha * rank / lora.rank for name, rank in larger.items()},
    }


def _targets(found: list[Beside], layout: Layout) -> list[str]:
    """The linears by the ends of their names; by their whole names where an end is also that of another's."""
    adapted = {one.name for one in found}
    ends = {_end(name) for name in adapted}
    names = {name.removesuffix(WEIGHT) for place in layout.places for name in place.names}
    if any(name.endswith(tuple(f".{end}" for end in ends)) for name in names - adapted):
        return sorted(layout.written(name) for name in adapted)
    return sorted(ends)


def _end(name: str) -> str:
    """A linear's name from the last number on, ``self_attn.q_proj``: the same in every layer."""
    parts = name.split(".")
    last = max((place for place, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[last + 1 :])


def _beside(model: Transformer, layout: Layout) -> Iterator[Beside]:
    """The adapters, by the linears of the class."""
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear):
            for place in layout.places:
                if place.ours == name + WEIGHT:
                    yield from _in_place(place, module)


def _in_place(place: Place, linear: AdaptedLinear) -> Iterator[Beside]:
    """What a linear's adapters are to one tensor of theirs; nothing where it has none."""
    first, last = place.rows or (0, len(linear.weight))
    held = [one for one in linear.in_order() if first <= one.rows[0] and one.rows[1] <= last]
    if held:
        yield Beside(
            name=place.names[0].removesuffix(WEIGHT),
            reduce=torch.cat([one.reduce for one in held]),
            expand=_blocks(held, first, last),
            transposed=place.transposed,
        )


def _blocks(held: list[Adapter], first: int, last: int) -> torch.Tensor:
    """The second matrices side by side, (out, ranks), each at its own rows."""
    ranks = [one.expand.shape[1] for one in held]
    found = held[0].expand.new_zeros(last - first, sum(ranks))
    start = 0
    for one, rank in zip(held, ranks, strict=True):
        found[one.rows[0] - first : one.rows[1] - first, start : start + rank] = one.expand.detach()
        start += rank
    return found


def _learned_beside(model: Transformer, layout: Layout) -> Iterator[tuple[str, torch.Tensor]]:
    """Names as written and tensors of what learned whole: the head for labels."""
    parameters: Mapping[str, torch.Tensor] = dict(model.named_parameters())
    for place in layout.places:
        if place.ours in parameters and parameters[place.ours].requires_grad:
            yield layout.written(place.names[0]), place.of(parameters)
