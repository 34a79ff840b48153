"""The objective that a plan names, for the vocabulary of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.objectives.causal import CausalLm, PrefixLm
from tonne.train.objectives.example import Objective
from tonne.train.objectives.masking import Framing, MaskedLm, Masking, special_ids
from tonne.train.objectives.segments import NextSentence, SentenceOrder, Single
from tonne.train.objectives.spans import Seq2Seq, SpanCorruption
from tonne.train.store import TokenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """What a plan may say of an objective beside its name.

    Attributes:
        lost_fraction: Share of the tokens that is masked, or lost in spans.
        whole_words: Mask words, not parts of them.
        mean_span: Mean length of a lost span [token].
        target_length: Longest target of seq2seq, its end included [token].
    """

    lost_fraction: float = 0.15
    whole_words: bool = False
    mean_span: float = 3.0
    target_length: int = 128


def objective_for(name: str, store: TokenStore, options: ObjectiveOptions | None = None) -> Objective:
    """The objective of this name.

    Raises:
        DataError: There is no such objective, or the vocabulary has not the special tokens for it.
    """
    build = BUILDERS.get(name)
    if build is None:
        raise DataError(f"objective = {name!r} is none that text is prepared for. Known: {', '.join(BUILDERS)}.")
    return build(name, store, options or ObjectiveOptions())


def _causal(name: str, store: TokenStore, options: ObjectiveOptions) -> Objective:
    return PrefixLm() if name == "prefix-lm" else CausalLm()


def _masked(name: str, store: TokenStore, options: ObjectiveOptions) -> Objective:
    begin, separator, mask = store.special.required("begin", "separator", "mask", objective=name)
    words = _of_vocabulary(store, name, "begins_word") if options.whole_words else None
    masking = Masking(
        mask=mask,
        special=special_ids(store.special, _vocabulary(store, name)),
        fraction=options.lost_fraction,
        begins_word=words,
    )
    framing: Framing = Single(begin=begin, separator=separator)
    if name != "masked-lm":
        kind = NextSentence if name == "masked-lm+next-sentence" else SentenceOrder
        ends = _of_vocabulary(store, name, "ends_sentence") if store.tokenizer is not None else None
        framing = kind(begin=begin, separator=separator, ends_sentence=ends)
    return MaskedLm(framing=framing, masking=masking)


def _spans(name: str, store: TokenStore, options: ObjectiveOptions) -> Objective:
    (end,) = store.special.required("delimiter", objective=name)
    store.special.required("sentinels", objective=name)
    return SpanCorruption(
        sentinels=store.special.sentinels,
        end=end,
        start=_start(store, end),
        fraction=options.lost_fraction,
        mean_span=options.mean_span,
    )


def _seq2seq(name: str, store: TokenStore, options: ObjectiveOptions) -> Objective:
    (end,) = store.special.required("delimiter", objective=name)
    return Seq2Seq(end=end, start=_start(store, end), longest_target=options.target_length)


BUILDERS: dict[str, Callable[[str, TokenStore, ObjectiveOptions], Objective]] = {
    "causal-lm": _causal,
    "prefix-lm": _causal,
    "masked-lm": _masked,
    "masked-lm+next-sentence": _masked,
    "masked-lm+sentence-order": _masked,
    "span-corruption": _spans,
    "seq2seq": _seq2seq,
}


def _start(store: TokenStore, end: int) -> int:
    """What the decoder begins with: the padding token, as T5 has it; where there is none, the end."""
    return end if store.special.pad is None else store.special.pad


def _vocabulary(store: TokenStore, name: str) -> int:
    if store.vocabulary is None:
        raise DataError(
            f"objective = {name!r} must know the vocabulary, but {store.folder} was made without its tokenizer. Name "
            f"it in [tokenizer] file and prepare the data anew."
        )
    return store.vocabulary


def _of_vocabulary(store: TokenStore, name: str, table: str) -> NDArray[np.bool_]:
    """A table over the ids of the store's tokenizer."""
    _vocabulary(store, name)
    if store.tokenizer is None:
        raise DataError(f"{store.folder} lacks its tokenizer.json, which objective = {name!r} reads. Prepare it anew.")
    found: NDArray[np.bool_] = getattr(store.tokenizer, table)()
    return found
