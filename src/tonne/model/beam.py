"""Beam search: the most probable continuations, several of them followed side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.model.decoding import Decoding

IMPOSSIBLE = -1e9  # added to a log probability that must not win, and a start below all that can


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """The ``size`` most probable continuations, followed side by side; the best of those that ended is the result.

    An ended one is scored by its log probability over its length to the power of ``length_penalty``: above 0 longer
    ones gain, below 0 shorter ones. ``early_stopping``: True, as soon as ``size`` have ended; False, when the best that
    runs, were it to end now, is no better than the worst that ended; "never", when it cannot become so even at full
    length.
    """

    size: int = 4
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        """Refuse what is no search."""
        if self.size < 1:
            raise DescriptionError(f"size={self.size}. Give a beam of 1 or more continuations, e.g. 4.")
        if self.early_stopping not in (True, False, "never"):
            raise DescriptionError(f"early_stopping={self.early_stopping!r}. Give True, False or 'never'.")


@dataclass(frozen=True, slots=True)
class _Set:
    """Continuations of each sequence: tokens (batch, n, room), scores (batch, n), lengths, and which have ended."""

    tokens: torch.Tensor
    scores: torch.Tensor
    lengths: torch.Tensor
    ended: torch.Tensor

    def taken(self, index: torch.Tensor) -> _Set:
        """Those of ``index`` (batch, m)."""
        tokens = self.tokens.take_along_dim(index[..., None], 1)
        rest = (part.take_along_dim(index, 1) for part in (self.scores, self.lengths, self.ended))
        return _Set(tokens, *rest)

    def joined(self, other: _Set) -> _Set:
        """Both."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return _Set(*(torch.cat(pair, 1) for pair in pairs))


class Search:
    """A beam search over a batch of sequences."""

    def __init__(
        self, beam: Beam, decoding: Decoding, *, max_new_tokens: int, stop_tokens: torch.Tensor, pad_token: int
    ) -> None:
        """Nothing is searched yet."""
        self.beam, self.decoding, self.room = beam, decoding, max_new_tokens
        self.stop_tokens, self.pad_token = stop_tokens, pad_token

    def best(self, scores: torch.Tensor) -> torch.Tensor:
        """The best continuation of each sequence.

        Args:
            scores: Of the first token, after the prompt was read (batch, vocabulary).

        Returns:
            (batch, new tokens), padded after the end.
        """
        batch, size = scores.shape[0], self.beam.size
        everyone = torch.arange(batch, device=scores.device).repeat_interleave(size)
        self.decoding.reorder(everyone)  # the prompt is read once, and shared
        scores = scores.index_select(0, everyone)
        running, finished = self._start(batch, scores.device)
        open_ = torch.ones(batch, 1, dtype=torch.bool, device=scores.device)  # the best may still be beaten
        for length in range(1, self.room + 1):
            found, parents = self._candidates(running, scores, length)
            finished = self._with_ended(finished, found, open_, length)
            going_on = replace(found, scores=found.scores + found.ended * IMPOSSIBLE)
            chosen = going_on.scores.topk(size).indices
            running = going_on.taken(chosen)
            open_ = open_ & self._can_improve(running, finished, length)
            if self._is_over(open_, finished, found):
                break
            offset = torch.arange(batch, device=scores.device)[:, None] * size
            self.decoding.reorder((parents.take_along_dim(chosen, 1) + offset).flatten())
            scores = self.decoding.scores(running.tokens[:, :, length - 1].reshape(-1, 1))
        return finished.tokens[:, 0, : int(finished.lengths[:, 0].max())]

    def _start(self, batch: int, device: torch.device) -> tuple[_Set, _Set]:
        """Nothing running but the prompt, in the first place of each beam; nothing finished."""
        shape = (batch, self.beam.size)
        tokens = torch.full((*shape, self.room), self.pad_token, device=device)
        scores = torch.full(shape, IMPOSSIBLE, device=device)
        lengths, ended = torch.zeros(shape, dtype=torch.long, device=device), torch.zeros(shape, device=device).bool()
        first = scores.clone()
        first[:, 0] = 0  # the others are the same prompt: they must not be followed too
        return _Set(tokens, first, lengths, ended), _Set(tokens, scores, lengths, ended)

    def _candidates(self, running: _Set, scores: torch.Tensor, length: int) -> tuple[_Set, torch.Tensor]:
        """The best next tokens of all beams, best first, and the place in its beam that each comes from.

        So many that enough are left to run on even where all stop tokens are among the best.
        """
        batch, size = running.scores.shape
        vocabulary = scores.shape[-1]
        sums = scores.log_softmax(-1).view(batch, size, vocabulary) + running.scores[..., None]  # (B, K, V)
        wanted = max(2, 1 + len(self.stop_tokens)) * size
        best, places = sums.flatten(1).topk(min(wanted, size * vocabulary))
        parents, token = places // vocabulary, places % vocabulary
        found = running.taken(parents)
        found.tokens[:, :, length - 1] = token
        ended = torch.isin(token, self.stop_tokens) if length < self.room else torch.ones_like(token, dtype=torch.bool)
        return _Set(found.tokens, best, torch.full_like(token, length), ended), parents

    def _with_ended(self, finished: _Set, found: _Set, open_: torch.Tensor, length: int) -> _Set:
        """The best of what had finished and what ended now; of the latter only what stood among the first ``size``."""
        among_first = torch.arange(found.scores.shape[1], device=found.scores.device) < self.beam.size
        enters = found.ended & among_first
        full = finished.ended.all(1, keepdim=True) & (self.beam.early_stopping is True)
        barred = full.float() + (~open_).float() + (~enters).float()
        scores = found.scores / length**self.beam.length_penalty + barred * IMPOSSIBLE
        both = finished.joined(_Set(found.tokens, scores, found.lengths, enters))
        return both.taken(both.scores.topk(self.beam.size).indices)

    def _can_improve(self, running: _Set, finished: _Set, length: int) -> torch.Tensor:
        """Whether the best that runs may yet beat one of those that finished, (batch, 1)."""
        penalty = self.beam.length_penalty
        longest = self.room if self.beam.early_stopping == "never" and penalty > 0 else length
        hoped = running.scores[:, :1] / longest**penalty
        worst = torch.where(finished.ended, finished.scores.amin(1, keepdim=True), IMPOSSIBLE)
        return torch.any(hoped > worst, 1, keepdim=True)

    def _is_over(self, open_: torch.Tensor, finished: _Set, found: _Set) -> bool:
        """Whether no sequence can gain from a further token."""
        enough = self.beam.early_stopping is True and bool(finished.ended.all())
        return enough or not bool(open_.any()) or bool(found.ended.all())
