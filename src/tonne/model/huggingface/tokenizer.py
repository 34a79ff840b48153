"""The tokenizer beside the weights: its files copied through, and which of its tokens have a part to play."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tonne.errors import WeightsError
from tonne.model.huggingface.writing import write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
BESIDE_IT = (SETTINGS, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "generation_config.json")
GENERIC_CLASS = "PreTrainedTokenizerFast"  # of transformers: takes all from tokenizer.json
USUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pad_token": ("<pad>", "[PAD]", "<|pad|>"),
        "bos_token": ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"),
        "eos_token": ("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
        "unk_token": ("<unk>", "[UNK]"),
        "cls_token": ("[CLS]",),
        "sep_token": ("[SEP]",),
        "mask_token": ("<mask>", "[MASK]"),
    }
)  # how the tokenizers of the model types spell them
ID_NAMES = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
STARTS_WITH: Mapping[str, str] = MappingProxyType({"t5": "pad_token_id", "bart": "eos_token_id"})


def write_tokenizer(tokenizer: Tokenizer | str | Path | None, folder: Path) -> None:
    """Put the tokenizer's files into a folder.

    Args:
        tokenizer: One of the package tokenizers, a tokenizer.json, or a folder that holds one; None: there is none.
        folder: Where to; exists.

    Raises:
        WeightsError: There is no tokenizer.json.
    """
    if tokenizer is None:
        return
    if isinstance(tokenizer, str | Path):
        source = _file(Path(tokenizer))
        beside = [source.with_name(name) for name in BESIDE_IT] if Path(tokenizer).is_dir() else []
        for file in [source, *(file for file in beside if file.is_file())]:
            if file.resolve() != (folder / file.name).resolve():
                shutil.copyfile(file, folder / file.name)
    else:
        (folder / TOKENIZER).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    if not (folder / SETTINGS).exists():
        tokens = _tokens(folder / TOKENIZER)
        names = {kind: next((t for t in spelt if t in tokens), None) for kind, spelt in USUAL.items()}
        known = {kind: token for kind, token in names.items() if token is not None}
        write_json(folder / SETTINGS, {"tokenizer_class": GENERIC_CLASS, **known})


def special_ids(tokenizer: Tokenizer | str | Path | None, model_type: str, folder: Path) -> dict[str, int]:
    """Numbers of the tokens that pad, start and end a text, for config.json; only those that are known.

    Args:
        tokenizer: As it was given; a folder's config.json says them best.
        model_type: What a decoder starts with differs: T5's with the padding, BART's with the end.
        folder: Where the tokenizer was written to.
    """
    if tokenizer is None:
        return {}
    found = _said(Path(tokenizer)) if isinstance(tokenizer, str | Path) else {}
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    tokens = _tokens(folder / TOKENIZER)
    for kind in ("pad_token", "bos_token", "eos_token"):
        token = settings.get(kind)
        token = token.get("content") if isinstance(token, dict) else token
        if f"{kind}_id" not in found and token in tokens:
            found[f"{kind}_id"] = tokens[token]
    start = STARTS_WITH.get(model_type)
    if start in found:
        found.setdefault("decoder_start_token_id", found[start])
    return found


def _file(given: Path) -> Path:
    file = given / TOKENIZER if given.is_dir() else given
    if not file.is_file():
        raise WeightsError(
            f"tokenizer={str(given)!r}: there is no {TOKENIZER}. Give the file, the folder that holds it, or a "
            f"Tokenizer of the package tokenizers; without one, leave tokenizer out."
        )
    return file


def _said(given: Path) -> dict[str, int]:
    """What the config.json beside a tokenizer says."""
    config = given / "config.json"
    if not given.is_dir() or not config.is_file():
        return {}
    fields = json.loads(config.read_text(encoding="utf-8"))
    return {name: fields[name] for name in ID_NAMES if isinstance(fields.get(name), int)}


def _tokens(file: Path) -> dict[str, int]:
    """Numbers of all tokens of a tokenizer.json."""
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{file} is not JSON: {error}. Save the tokenizer again.") from None
    vocabulary = content.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram's: pairs of token and score
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
    return {**vocabulary, **{entry["content"]: entry["id"] for entry in content.get("added_tokens", [])}}
