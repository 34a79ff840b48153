"""Which tensors lie in a folder of safetensors files: their names, shapes and types, before any is read."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.errors import WeightsError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARDS = "model-?????-of-?????.safetensors"
PICKLES = ("pytorch_model*.bin", "*.ckpt", "*.pt", "*.pth")
LENGTH_BYTES = 8  # safetensors: the header's length, then the header as JSON, then the numbers
LONGEST_HEADER_BYTES = 100_000_000  # the format's own limit
MOST_LISTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor of a file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def listed(names: list[str]) -> str:
    """Names in one line, the first few where they are many."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """The tensors of a folder by name, from the headers of its files alone.

    Args:
        folder: Holds ``model.safetensors``, or shards and ``model.safetensors.index.json``.

    Raises:
        WeightsError: There are none, a file is missing or cut short, or the index is wrong.
    """
    files, named = _files(folder)
    found: dict[str, Stored] = {}
    for file in files:
        for name, stored in _header(file).items():
            if name in found:
                raise WeightsError(
                    f"{folder}: {name} lies in {found[name].file.name} and in {file.name}. Which one is meant cannot "
                    f"be known: remove the file that is left over from another save."
                )
            found[name] = stored
    absent = [name for name in named if name not in found or found[name].file.name != named[name]]
    if absent:
        raise WeightsError(
            f"{folder / INDEX} says where {listed(absent)} lies, but that file does not hold it. The index and the "
            f"files are not of one save: fetch or save them again together."
        )
    return found


def _files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The files to read, and the file of each tensor where there is an index."""
    single, index = folder / SINGLE, folder / INDEX
    if single.exists() and index.exists():
        raise WeightsError(
            f"{folder} holds both {SINGLE} and {INDEX}: two saves. Keep the one that is meant, and remove the other."
        )
    if single.exists():
        return [single], {}
    if index.exists():
        named = _weight_map(index)
        files = [folder / name for name in sorted(set(named.values()))]
        absent = [file.name for file in files if not file.is_file()]
        if absent:
            raise WeightsError(
                f"{index} names {listed(absent)}, which {'is' if len(absent) == 1 else 'are'} not in the folder. "
                f"Fetch the missing {'file' if len(absent) == 1 else 'files'}, or save the model again."
            )
        return files, named
    raise WeightsError(_nothing_to_read(folder))


def _nothing_to_read(folder: Path) -> str:
    shards = sorted(file.name for file in folder.glob(SHARDS))
    if shards:
        return (
            f"{folder} holds {listed(shards)} but no {INDEX}, which says what lies in which. Fetch it too, or save the "
            f"model again."
        )
    pickles = sorted({file.name for pattern in PICKLES for file in folder.glob(pattern)})
    if pickles:
        return (
            f"{folder} holds its weights as {listed(pickles)}: pickles, which can run any code when they are read, so "
            f"they are not. Convert them to safetensors where you trust them: "
            f"transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)."
        )
    return f"{folder} holds no weights: neither {SINGLE} nor {INDEX}. Give the folder of a saved model."


def _weight_map(index: Path) -> dict[str, str]:
    """File name of each tensor, as the index says."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{index} cannot be read: {error}. Fetch it again, or save the model again.") from None
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise WeightsError(
            f'{index} has no weight_map of tensors and their files, e.g. {{"weight_map": {{"lm_head.weight": '
            f'"model-00001-of-00002.safetensors"}}}}. Fetch it again, or save the model again.'
        )
    outside = sorted({file for file in named.values() if Path(file).name != file})
    if outside:
        raise WeightsError(
            f"{index} names {listed(outside)}, which lies outside the folder. An index names files beside it only: "
            f"move them there, and mend the index."
        )
    return named


def _header(file: Path) -> dict[str, Stored]:
    """The tensors that a file's header promises, after a check that the file is long enough to hold them."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(LENGTH_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == LENGTH_BYTES else 0
        if not 0 < length <= min(LONGEST_HEADER_BYTES, size - LENGTH_BYTES):
            raise WeightsError(_broken(file, size, "its header is cut short, or it is no safetensors file"))
        text = opened.read(length)
    try:
        header = json.loads(text)
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        found = {name: _stored(file, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise WeightsError(_broken(file, size, "its header is not that of a safetensors file")) from None
    whole = LENGTH_BYTES + length + end
    if size != whole:
        raise WeightsError(_broken(file, size, f"its header promises {whole:,} bytes"))
    return found


def _stored(file: Path, entry: dict[str, Any]) -> Stored:
    return Stored(file=file, dtype=str(entry["dtype"]), shape=tuple(int(length) for length in entry["shape"]))


def _broken(file: Path, size: int, why: str) -> str:
    return f"{file} has {size:,} bytes, but {why}. Fetch the file again, or save the model again."
