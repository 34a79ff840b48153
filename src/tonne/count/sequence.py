"""One sequence that enters the model: its lengths, its mask, and where something is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.masks import whole
from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

LABELS = ("classification", "token-classification", "question-answering")  # objectives that predict no tokens
SPAN_CORRUPTION_TARGET_SHARE = 114 / 512  # T5: 512 source tokens go with 114 target tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Lengths of one sequence [token]; an encoder has no decoder length, and the other way round.

    ``predicted``: positions where logits are computed. ``labelled``: positions where the head for labels runs, one
    of a sequence for classification, every one to label tokens or to find an answer's span. ``pooled``: 1 where the
    first token's state goes through the pooler. ``prefix``: first tokens of a decoder that see one another.
    ``documents``: lengths of the documents packed into the sequence, which do not see one another; left out: one.
    """

    encoder_length: int = 0
    decoder_length: int = 0
    predicted: int = 0
    labelled: int = 0
    pooled: int = 0
    prefix: int = 0
    documents: tuple[int, ...] | None = None

    @property
    def tokens(self) -> int:
        """Tokens that enter: source plus target."""
        return self.encoder_length + self.decoder_length

    def stack_length(self, *, decoder: bool) -> int:
        """Tokens that enter one stack."""
        return self.decoder_length if decoder else self.encoder_length


def sequence_of(  # noqa: PLR0913 - the fields of [data], by name
    architecture: Architecture,
    *,
    sequence_length: int | None,
    source_length: int | None = None,
    target_length: int | None = None,
    objective: str = "causal-lm",
    masked_fraction: float = 0.15,
    answer_fraction: float = 1.0,
) -> Sequence:
    """The sequence that a plan's lengths and objective make of an architecture's input.

    Args:
        architecture: Shape of the model.
        sequence_length: Tokens of a sequence; for an encoder-decoder those of the source, if that is not given.
        source_length: Tokens of the source [token].
        target_length: Tokens of the target [token]; left out: 114 for 512 under span corruption, else the source's.
        objective: As in a plan. An encoder cannot learn ``causal-lm``: it is taken as ``masked-lm``.
        masked_fraction: Share of the tokens that a masked language model predicts.
        answer_fraction: Share of a decoder's tokens that instruction tuning predicts.

    Raises:
        DescriptionError: No length is given.
    """
    if architecture.kind == "encoder-decoder":
        source = sequence_length if source_length is None else source_length
        _require(source, "data.source_length (or data.sequence_length)")
        share = SPAN_CORRUPTION_TARGET_SHARE if objective == "span-corruption" else 1
        target = whole(source * share) if target_length is None else target_length  # type: ignore[operator]
        return _two_sequences(source, target, objective)  # type: ignore[arg-type]
    _require(sequence_length, "data.sequence_length")
    length: int = sequence_length  # type: ignore[assignment]
    if architecture.kind == "encoder":
        return _encoder_sequence(length, objective, masked_fraction)
    if objective in LABELS:
        return Sequence(decoder_length=length, labelled=_labelled(objective, length), pooled=_pooled(objective))
    if objective == "instruction":
        return Sequence(decoder_length=length, predicted=whole(length * answer_fraction))
    prefix = length // 2 if objective == "prefix-lm" else 0
    return Sequence(decoder_length=length, prefix=prefix, predicted=length - prefix)


def _two_sequences(source: int, target: int, objective: str) -> Sequence:
    if objective in LABELS:
        return Sequence(encoder_length=source, decoder_length=target, labelled=_labelled(objective, target))
    return Sequence(encoder_length=source, decoder_length=target, predicted=target)


def _encoder_sequence(length: int, objective: str, masked_fraction: float) -> Sequence:
    if objective in LABELS:
        return Sequence(encoder_length=length, labelled=_labelled(objective, length), pooled=_pooled(objective))
    return Sequence(encoder_length=length, predicted=whole(length * masked_fraction), pooled=_pooled(objective))


def _labelled(objective: str, length: int) -> int:
    """Positions of a sequence that get labels."""
    return 1 if objective == "classification" else length


def _pooled(objective: str) -> int:
    """Whether the first token's state goes through the pooler."""
    return int(objective in {"classification", "masked-lm+next-sentence", "masked-lm+sentence-order"})


def _require(length: int | None, name: str) -> None:
    if length is None:
        raise DescriptionError(
            f"{name} is missing: the work of attention grows with it, so there is no default. "
            f"Give it, e.g. {name.split()[0]} = 2048."
        )
