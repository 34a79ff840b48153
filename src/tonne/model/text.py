"""Text in, text out: a folder with a model and its tokenizer, and what it makes of a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError, MissingPackageError, PlanFileError, WeightsError
from tonne.model.beam import Beam
from tonne.model.generation import Strategy, generate
from tonne.model.huggingface import from_huggingface
from tonne.model.streaming import TextStream

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tonne.model.transformer import Transformer

TOKENIZER = "tokenizer.json"
SAYING = ("config.json", "generation_config.json")  # where the tokens with a part to play stand; the later one counts
USUAL_NEW_TOKENS = 128
Ended = Literal["stop token", "stop text", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel:
    """A model with its tokenizer. ``start_tokens``: what a target, or a text without a prompt, begins with."""

    model: Transformer
    tokenizer: Tokenizer
    start_tokens: tuple[int, ...]
    stop_tokens: tuple[int, ...]
    pad_token: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What a model made of a prompt. ``new_tokens``: those made, that of a stop too."""

    text: str
    prompt_tokens: int
    new_tokens: int
    ended: Ended


def read_text_model(folder: str | Path) -> TextModel:
    """The model of a folder in the layout of Hugging Face, with its tokenizer.

    Args:
        folder: It holds config.json, safetensors and tokenizer.json; generation_config.json where there is one.

    Raises:
        WeightsError: There is no such folder, weights or tokenizer are missing or broken.
        DescriptionError: The model is an encoder, which continues nothing.
        MissingPackageError: The package tokenizers is not installed.
    """
    place = Path(folder)
    if place.is_dir():  # what is quickly known is said before weights are read
        _check_continues(place)
        tokenizer = read_tokenizer(place)
    model = from_huggingface(place)
    said = _said(place)
    starts = ("decoder_start_token_id", "forced_bos_token_id") if model.encoder is not None else ("bos_token_id",)
    return TextModel(
        model=model,
        tokenizer=tokenizer,
        start_tokens=tuple(token for name in starts for token in _ids(said, name)),
        stop_tokens=_ids(said, "eos_token_id"),
        pad_token=next(iter(_ids(said, "pad_token_id")), None),
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer.json of a folder.

    Raises:
        WeightsError: There is none, or it is broken.
        MissingPackageError: The package tokenizers is not installed.
    """
    file = folder / TOKENIZER
    if not file.is_file():
        raise WeightsError(
            f"{folder} has no {TOKENIZER}, so text cannot become tokens. Save the tokenizer there: "
            f"AutoTokenizer.from_pretrained(...).save_pretrained('{folder}')."
        )
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - the model alone needs none
    except ModuleNotFoundError:
        raise MissingPackageError("reading text needs tokenizers. Run: pip install 'tonne[train]'") from None
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises no narrower one
        raise WeightsError(f"{file} is no tokenizer: {error}. Save it again.") from error


def continued(
    texts: TextModel,
    prompt: str,
    *,
    strategy: Strategy,
    max_new_tokens: int | None = None,
    stop_texts: Sequence[str] = (),
    write: Callable[[str], object] = lambda _: None,
) -> Continuation:
    """What the model makes of a prompt; an encoder-decoder reads it as its source.

    Args:
        texts: The model with its tokenizer.
        prompt: Text; where it is empty a decoder begins with its start token, if it has one.
        strategy: How tokens are chosen.
        max_new_tokens: Where to stop at the latest [token]; left out, 128 or as many as there are positions.
        stop_texts: Where one of these appears, the text ends before it. One that is a single token ends it as that.
        write: Called with each piece of the text as it comes; with a beam, once.

    Raises:
        DescriptionError: The prompt holds no token, or more than the model has positions for.
    """
    prompt_tokens = _prompt_tokens(texts, prompt)
    single = (texts.tokenizer.token_to_id(text) for text in stop_texts)
    stops = (*texts.stop_tokens, *(token for token in single if token is not None))
    stream, shown, made = TextStream(texts.tokenizer, stop_texts), [], []

    def take(token: torch.Tensor) -> bool:
        made.append(int(token))
        if made[-1] not in stops:
            shown.append(stream.add(made[-1]))
            write(shown[-1])
        return stream.stopped

    first, more = _entering(texts, prompt_tokens)
    most = _room(texts.model, first.shape[1]) if max_new_tokens is None else max_new_tokens
    beam = isinstance(strategy, Beam)
    more = {**more, "strategy": strategy, "stop_tokens": stops, "on_token": None if beam else take}
    whole = generate(texts.model, first, max_new_tokens=most, pad_token=texts.pad_token, **more)
    if beam:
        for token in whole[0, first.shape[1] :]:
            if take(token):
                break
    shown.append(stream.rest())
    write(shown[-1])
    ended: Ended = "stop text" if stream.stopped else "stop token" if made[-1] in stops else "length"
    return Continuation(text="".join(shown), prompt_tokens=len(prompt_tokens), new_tokens=len(made), ended=ended)


def _prompt_tokens(texts: TextModel, prompt: str) -> list[int]:
    """Tokens of a prompt, those that its tokenizer puts around it too.

    Raises:
        DescriptionError: There are none, or the model does not know one.
    """
    tokens: list[int] = texts.tokenizer.encode(prompt).ids
    if not tokens and texts.model.encoder is None:
        tokens = list(texts.start_tokens)
    if not tokens:
        raise DescriptionError("the prompt is empty, and the model has no start token. Give a prompt of some text.")
    vocabulary = texts.model.architecture.vocabulary
    if max(tokens) >= vocabulary:
        raise DescriptionError(
            f"the tokenizer gives token {max(tokens)}, but the model knows {vocabulary} tokens. They do not belong "
            f"together: put the model's own tokenizer.json into its folder."
        )
    return tokens


def _entering(texts: TextModel, prompt_tokens: list[int]) -> tuple[torch.Tensor, dict[str, Any]]:
    """What the decoder starts with (1, length), and the source of an encoder-decoder."""
    place = next(texts.model.parameters()).device
    prompt = torch.tensor([prompt_tokens], device=place)
    if texts.model.encoder is None:
        return prompt, {}
    if not texts.start_tokens:
        raise DescriptionError(
            "config.json and generation_config.json name no decoder_start_token_id, which the decoder begins with. "
            "Add it to config.json."
        )
    return torch.tensor([texts.start_tokens], device=place), {"source": prompt}


def _room(model: Transformer, prompt: int) -> int:
    """How many tokens to make where nobody said: the usual number, or what positions are left for."""
    most = model.architecture.max_positions
    return USUAL_NEW_TOKENS if not most else max(1, min(USUAL_NEW_TOKENS, most + 1 - prompt))


def _check_continues(folder: Path) -> None:
    """Refuse an encoder before its weights are read."""
    if Architecture.from_huggingface(folder).kind == "encoder":
        raise DescriptionError(
            f"{folder} holds an encoder: it sees all tokens at once and continues none. Give a decoder, such as GPT-2 "
            f"or Llama, or an encoder-decoder, such as T5 or BART."
        )


def _said(folder: Path) -> dict[str, Any]:
    """What the folder says of tokens with a part to play."""
    found: dict[str, Any] = {}
    for name in SAYING:
        file = folder / name
        if file.is_file():
            try:
                fields = json.loads(file.read_text(encoding="utf-8"))
            except (UnicodeDecodeError, json.JSONDecodeError) as error:
                raise PlanFileError(f"{file} is not JSON: {error}. Save the model again.") from None
            found |= {key: value for key, value in fields.items() if value is not None}
    return found


def _ids(said: dict[str, Any], name: str) -> tuple[int, ...]:
    """One token, several, or none."""
    value = said.get(name)
    return tuple(value) if isinstance(value, list) else () if value is None else (value,)
