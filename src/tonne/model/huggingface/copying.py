"""Tensors of a checkpoint into a model's parameters, each from the mapped file straight to where it lies."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tonne.errors import WeightsError
from tonne.model.huggingface.places import Layout, Place
from tonne.model.huggingface.shards import Stored, listed

LOG = logging.getLogger(__name__)
FLOATS: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}  # as safetensors writes them


def sources(layout: Layout, stored: Mapping[str, Stored], folder: Path) -> dict[Place, list[str]]:
    """The checkpoint's names of each place's tensor; several where it holds a tied one more than once.

    Raises:
        WeightsError: Tensors are missing, or there are some that have no place; all of them are listed.
    """
    by_plain_name = {layout.plain(name): name for name in stored if not layout.is_unread(name)}
    found: dict[Place, list[str]] = {}
    missing: list[str] = []
    for place in layout.places:
        names = [by_plain_name.pop(name) for name in place.names if name in by_plain_name]
        if names:
            found[place] = names
        else:
            missing.append(place.names[0])
    extra = [name for name in by_plain_name if name not in layout.zero]
    others = [name for name in extra if layout.is_of_another_head(name)]
    extra = [by_plain_name[name] for name in extra if name not in others]
    if missing or extra:
        raise WeightsError(_unlike(folder, [layout.written(name) for name in missing], extra))
    if others:
        LOG.warning("%s: left out, for the class named in config.json has no such head: %s", folder, listed(others))
    return found


def _unlike(folder: Path, missing: list[str], extra: list[str]) -> str:
    lacks = f"lacks {len(missing)} that config.json asks for ({listed(missing)})" if missing else ""
    holds = f"holds {len(extra)} that it has no place for ({listed(extra)})" if extra else ""
    return (
        f"{folder}: the weights are not those of config.json: the folder {' and '.join(filter(None, (lacks, holds)))}. "
        f"Check the sizes in config.json and the class in its architectures, or save config and weights together."
    )


def check_shapes(
    found: Mapping[Place, list[str]],
    stored: Mapping[str, Stored],
    parameters: Mapping[str, torch.Tensor],
    folder: Path,
) -> None:
    """Refuse tensors of another shape than their place, before any is read."""
    wrong = [
        f"{name} is {list(stored[name].shape)}, not {list(place.of(parameters).shape)}"
        for place, names in found.items()
        for name in names
        if stored[name].shape != tuple(place.of(parameters).shape)
    ]
    if wrong:
        raise WeightsError(
            f"{folder}: {len(wrong)} tensors have another shape than config.json asks for: {listed(wrong)}. Check the "
            f"sizes in config.json, or save config and weights together."
        )


def dtype_of(
    stored: Mapping[str, Stored], asked: torch.dtype | None, config: Mapping[str, Any], folder: Path
) -> torch.dtype:
    """The type that the model is to have: the one asked for, else the checkpoint's own.

    Raises:
        WeightsError: A tensor is no plain floating-point one, or nothing was asked for and the checkpoint's are of
            several types, or of another than config.json says.
    """
    names = {entry.dtype for entry in stored.values()}
    other = sorted(names - set(FLOATS))
    if other or "quantization_config" in config:
        raise WeightsError(
            f"{folder} holds {', '.join(other) or 'quantised'} tensors; read are {', '.join(FLOATS)}. A quantised or "
            f"packed checkpoint must be saved in one of these first, e.g. as bfloat16."
        )
    if asked is not None:
        return asked
    said = config.get("dtype") or config.get("torch_dtype")
    held = sorted(str(FLOATS[name]).removeprefix("torch.") for name in names)
    if len(held) > 1 or (said is not None and held != [said]):
        says = f", and config.json says {said}" if said is not None else ""
        raise WeightsError(
            f"{folder}: the tensors are of type {' and '.join(held)}{says}. Say which the model is to have, e.g. "
            f"from_huggingface(folder, dtype=torch.{held[-1]})."
        )
    return FLOATS[names.pop()]


def fill(
    parameters: Mapping[str, torch.Tensor], found: Mapping[Place, list[str]], stored: Mapping[str, Stored]
) -> None:
    """Copy every tensor to its place, one file after the other.

    Raises:
        WeightsError: Names that one tensor is tied under hold different numbers.
    """
    files: dict[Path, list[tuple[Place, str]]] = {}
    for place, names in found.items():
        files.setdefault(stored[names[0]].file, []).append((place, names[0]))
    for file, wanted in files.items():
        with _opened(file) as tensors, torch.no_grad():
            for place, name in wanted:
                place.put(parameters, tensors.get_tensor(name))
    for place, names in found.items():
        for name in names[1:]:
            _check_same(place.of(parameters), stored[name], name, names[0])


def _check_same(filled: torch.Tensor, stored: Stored, name: str, first: str) -> None:
    with _opened(stored.file) as tensors:
        again = tensors.get_tensor(name)
    if not torch.equal(filled, again.to(filled)):
        raise WeightsError(
            f"{stored.file.parent}: {first} and {name} differ, but the model ties them. Where the output table is one "
            f'of its own, config.json must say so: "tie_word_embeddings": false.'
        )


def differ(first: Stored, first_name: str, second: Stored, second_name: str) -> bool:
    """Whether two tensors of the files are not the same, number by number."""
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return True
    with _opened(first.file) as tensors, _opened(second.file) as others:
        return not torch.equal(tensors.get_tensor(first_name), others.get_tensor(second_name))


def check_zero(layout: Layout, stored: Mapping[str, Stored], folder: Path) -> None:
    """Refuse tensors that only one side reads, unless they add nothing."""
    for name, entry in stored.items():
        if layout.plain(name) in layout.zero:
            with _opened(entry.file) as tensors:
                if tensors.get_tensor(name).count_nonzero():
                    raise WeightsError(
                        f"{folder}: {name} is not zero, as it is in what transformers trains and saves, and the logits "
                        f"here would be others than there. Such weights are not read."
                    )


def _opened(file: Path) -> Any:  # noqa: ANN401 - safetensors has no types
    try:
        return safe_open(file, framework="pt")
    except SafetensorError as error:
        raise WeightsError(f"{file} cannot be read: {error}. Fetch the file again, or save the model again.") from None
