"""A model into safetensors files: one, or shards with an index, each under its name only when it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tonne.model.huggingface.places import Layout, Place
from tonne.model.huggingface.shards import INDEX, SHARDS, SINGLE

PARTIAL = ".partial"


def write_tensors(layout: Layout, parameters: Mapping[str, torch.Tensor], folder: Path, shard_bytes: int) -> None:
    """Write all places' tensors; files of an earlier save that are not overwritten are removed.

    Args:
        layout: The places and their names.
        parameters: The model's, by name.
        folder: Where to; exists.
        shard_bytes: Largest file, unless one tensor alone is larger [bytes].
    """
    shards = list(_shards(layout.places, parameters, shard_bytes))
    names = [SINGLE] if len(shards) == 1 else [_shard_name(number, len(shards)) for number in range(1, len(shards) + 1)]
    weight_map: dict[str, str] = {}
    for name, places in zip(names, shards, strict=True):
        tensors = {layout.written(place.names[0]): _as_stored(place, parameters) for place in places}
        save_file(tensors, folder / (name + PARTIAL), metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    earlier = [folder / SINGLE, folder / INDEX, *folder.glob(SHARDS)]
    for name in names:
        (folder / (name + PARTIAL)).replace(folder / name)
    if len(shards) > 1:
        total = sum(_bytes(place, parameters) for place in layout.places)
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})
    kept = {*names, *([INDEX] if len(shards) > 1 else [])}
    for file in earlier:
        if file.name not in kept:
            file.unlink(missing_ok=True)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    partial = file.with_name(file.name + PARTIAL)
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(file)


def _shards(
    places: tuple[Place, ...], parameters: Mapping[str, torch.Tensor], shard_bytes: int
) -> Iterator[list[Place]]:
    """The places in their order, cut before a shard would grow too large."""
    shard: list[Place] = []
    filled = 0
    for place in places:
        size = _bytes(place, parameters)
        if shard and filled + size > shard_bytes:
            yield shard
            shard, filled = [], 0
        shard.append(place)
        filled += size
    yield shard


def _bytes(place: Place, parameters: Mapping[str, torch.Tensor]) -> int:
    part = place.of(parameters)
    return part.numel() * part.element_size()


def _as_stored(place: Place, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The tensor to write. Rows of a parameter stay where they are; only what is transposed is copied, a shard's."""
    return place.of(parameters).detach().cpu().contiguous()


def _shard_name(number: int, of: int) -> str:
    return f"model-{number:05d}-of-{of:05d}.safetensors"
