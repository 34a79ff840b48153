"""Continuing sequences: prompts in, tokens out, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tonne.errors import DescriptionError
from tonne.model.beam import Beam, Search
from tonne.model.decoding import Decoding
from tonne.model.sampling import Draw, Greedy, Sampling

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer

Strategy = Greedy | Sampling | Beam
OnToken = Callable[[torch.Tensor], bool | None]
BOUNDED = ("learned", "sinusoidal", "rotary")  # kinds of positions that were trained, or have rows, up to a length


def generate(  # noqa: PLR0913 - a prompt, and what is to be done with it
    model: Transformer,
    tokens: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    source: torch.Tensor | None = None,
    source_mask: torch.Tensor | None = None,
    max_new_tokens: int,
    strategy: Strategy | None = None,
    stop_tokens: Sequence[int] = (),
    pad_token: int | None = None,
    on_token: OnToken | None = None,
) -> torch.Tensor:
    """The prompts and what the model makes of them.

    Prompts of unlike length may be padded on either side, or both ways in one batch. Dropout is off meanwhile. Logits
    are compared in fp32.

    Args:
        model: A decoder, or an encoder-decoder.
        tokens: The prompts (batch, length); of an encoder-decoder what its target begins with.
        mask: (batch, length), 1 for a real token, 0 for padding; None: all are real.
        source: Tokens that an encoder-decoder reads (batch, source length).
        source_mask: (batch, source length), as ``mask``.
        max_new_tokens: Where to stop at the latest [token].
        strategy: Greedy(), Sampling(...) or Beam(...); left out, Greedy().
        stop_tokens: Tokens that end a sequence; they are part of it.
        pad_token: What stands after the end of a sequence that is shorter than others; left out, the first of
            ``stop_tokens``.
        on_token: Called with each new token of all sequences (batch,), the padding of ended ones too; where it returns
            true, generation stops. Not for a beam, whose tokens are known at the end only.

    Returns:
        (batch, length + new tokens). Padding between or after the real tokens of a prompt has moved before them, next
        to what follows.

    Raises:
        DescriptionError: The model cannot generate, the prompt is empty, or there are not as many positions.
    """
    chosen = Greedy() if strategy is None else strategy
    _check_call(model, tokens, source, max_new_tokens)
    if isinstance(chosen, Beam) and on_token is not None:
        raise DescriptionError("on_token was given, but a beam knows its tokens at the end only. Leave it out.")
    tokens, real = _beside_what_follows(tokens, mask)
    _check_positions(model, tokens.shape[1] if real is None else int(real.sum(1).max()), max_new_tokens)
    stops = torch.tensor(list(stop_tokens), dtype=torch.long, device=tokens.device)
    pad = pad_token if pad_token is not None else next(iter(stop_tokens), 0)
    with torch.no_grad(), evaluating(model):
        room = tokens.shape[1] + max_new_tokens - 1  # the last token is not read again
        decoding = Decoding(model, batch=len(tokens), room=room, source=source, source_mask=source_mask)
        scores = decoding.scores(tokens, real)
        if isinstance(chosen, Beam):
            search = Search(chosen, decoding, max_new_tokens=max_new_tokens, stop_tokens=stops, pad_token=pad)
            return torch.cat([tokens, search.best(scores)], 1)
        new = list(_drawn(decoding, scores, Draw(strategy=chosen), (stops, pad, max_new_tokens, on_token)))
    return torch.cat([tokens, torch.stack(new, 1)], 1)


def _drawn(
    decoding: Decoding, scores: torch.Tensor, draw: Draw, end: tuple[torch.Tensor, int, int, OnToken | None]
) -> Iterator[torch.Tensor]:
    """The tokens of each step (batch,), until all sequences have ended."""
    stop_tokens, pad_token, most, on_token = end
    ended = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for step in range(most):
        token = draw.next_tokens(scores).masked_fill(ended, pad_token)
        yield token
        ended |= torch.isin(token, stop_tokens)
        if on_token is not None and on_token(token):
            return
        if step + 1 == most or bool(ended.all()):
            return
        scores = decoding.scores(token[:, None])


def _beside_what_follows(tokens: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Prompts with all padding before their tokens, and the mask of it; None where there is no padding.

    Raises:
        DescriptionError: The mask has another shape, or leaves nothing of a prompt.
    """
    if mask is None:
        return tokens, None
    if mask.shape != tokens.shape:
        raise DescriptionError(
            f"mask has shape {tuple(mask.shape)}, but the tokens have {tuple(tokens.shape)}. Give one number a token: "
            f"1 for a real one, 0 for padding."
        )
    real = mask.bool()
    empty = (~real.any(1)).nonzero().flatten().tolist()
    if empty:
        raise DescriptionError(f"prompt {empty[0]} is all padding. Give each at least one token, e.g. that of a start.")
    if bool(real.all()):
        return tokens, None
    order = real.to(torch.int8).argsort(dim=1, stable=True)
    return tokens.gather(1, order), real.gather(1, order)


def _check_call(model: Transformer, tokens: torch.Tensor, source: torch.Tensor | None, max_new_tokens: int) -> None:
    """Refuse a call that generates nothing."""
    kind = model.architecture.kind
    if kind == "encoder":
        raise DescriptionError(
            "this model is an encoder: it sees all tokens at once and continues none. Give a decoder or an "
            "encoder-decoder; for a masked word, call model.logits(tokens)."
        )
    if (kind == "encoder-decoder") != (source is not None):
        need = "needs a source: give source=..." if source is None else "reads one sequence: leave source out"
        raise DescriptionError(f"this model is {'an' if source is None else 'a'} {kind} and {need}.")
    if tokens.dim() != 2 or not tokens.numel():
        raise DescriptionError(f"the prompt has shape {tuple(tokens.shape)}. Give at least one token: (batch, length).")
    if max_new_tokens < 1:
        raise DescriptionError(f"max_new_tokens={max_new_tokens}. Give 1 or more.")


def _check_positions(model: Transformer, prompt: int, max_new_tokens: int) -> None:
    """Refuse more tokens than the model has positions, or was trained on."""
    a = model.architecture
    stretches = a.rotary_scaling is not None and a.rotary_scaling.kind == "dynamic"
    if a.positions not in BOUNDED or not a.max_positions or stretches:
        return
    if prompt > a.max_positions:
        raise DescriptionError(
            f"the prompt of {prompt:,} tokens is longer than the {a.max_positions:,} positions of the model. "
            f"Shorten it."
        )
    if prompt + max_new_tokens - 1 > a.max_positions:
        raise DescriptionError(
            f"a prompt of {prompt:,} tokens and max_new_tokens={max_new_tokens:,} need {prompt + max_new_tokens - 1:,} "
            f"positions, but the model has {a.max_positions:,}. Take max_new_tokens={a.max_positions + 1 - prompt} at "
            f"most."
        )


@contextmanager
def evaluating(model: Transformer) -> Iterator[None]:
    """Without dropout, and afterwards each part in the mode it was in."""
    training = [part for part in model.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
