"""The transformer: an encoder, a decoder or both, built from one Architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch
from torch import nn
from torch.nn import functional

from tonne.count.layers import stack_shape
from tonne.count.parameters import embedding_width, output_width
from tonne.errors import DescriptionError
from tonne.model.buildable import check_buildable
from tonne.model.cache import Cache
from tonne.model.embeddings import TokenTables
from tonne.model.heads import LabelHead, OutputTable, Pooler, PredictionHead, missing_head, sequence_state
from tonne.model.initial import draw, spread
from tonne.model.inputs import Inputs, More
from tonne.model.later_tokens import later_loss, later_tokens
from tonne.model.layer import Sight, nothing_seen
from tonne.model.loss import linear_cross_entropy
from tonne.model.making import Linear, Making
from tonne.model.masks import Sees, Tokens, checked_mask, counted_positions, may_be_read
from tonne.model.stack import Stack

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.task import Pooling

OF_A_SOURCE = ("source", "source_mask", "encoded", "source_documents")
IGNORED = -100  # the target of a position that is not predicted, as torch's cross entropy has it


class Transformer(nn.Module):
    """A transformer with the heads that its Architecture names.

    It holds exactly as many numbers as ``tonne.count`` says. Names of its parts: ``embedding`` (tokens, source, types,
    projection), ``encoder`` and ``decoder`` (inputs, layers, final_norm), ``prediction``, ``output_projection``,
    ``output``, ``pooler``, ``next_sentence``, ``task``, ``multi_token``.

    Source: vaswani2017attention.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        dropout: float = 0.0,
        attention_dropout: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Build it, its weights drawn at random.

        Args:
            architecture: Shape of the model.
            dropout: Share of the numbers that a branch or the embedding sets to zero while training.
            attention_dropout: The same of attention's weights; left out: as ``dropout``.
            device: Where it lies; on ``meta`` it holds no numbers.
            dtype: Type of its numbers.

        Raises:
            DescriptionError: The Architecture asks for what has no meaning, or is not built.
        """
        super().__init__()
        check_buildable(architecture)
        a = self.architecture = architecture
        inner = dropout if attention_dropout is None else attention_dropout
        making = Making(dropout=dropout, attention_dropout=inner, device=device, dtype=dtype)
        self.embedding = TokenTables(a, making=making)
        self.encoder = None if a.kind == "decoder" else Stack(a, decoder=False, making=making)
        shape = stack_shape(a, decoder=a.kind == "encoder-decoder")
        self.decoder = None if a.kind == "encoder" else Stack(shape, decoder=True, making=making)
        self.prediction = PredictionHead(a, making=making) if a.prediction_head else None
        back = a.output_projection
        self.output_projection = Linear(a.width, embedding_width(a), bias=False, making=making) if back else None
        self.output = OutputTable(a, making=making)
        self.pooler = Pooler(a, making=making) if a.pooler else None
        self.next_sentence = Linear(a.width, 2, bias=True, making=making) if a.next_sentence_head else None
        self.task = None if a.task_head is None else LabelHead(a, a.task_head, making=making)
        self.multi_token = later_tokens(a, making=making)
        spread(self, a)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        draw(self, self.architecture)

    def recompute_layers(self, recompute: bool = True) -> None:
        """Compute each layer a second time in the backward pass, and keep what enters it alone."""
        for stack in (self.encoder, self.decoder):
            if stack is not None:
                stack.recomputes = recompute

    def forward(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        targets: torch.Tensor | None = None,
        **more: Unpack[More],
    ) -> torch.Tensor:
        """Logits, or with ``targets`` the loss: wrappers such as DistributedDataParallel see this call alone."""
        return self.logits(tokens, mask, **more) if targets is None else self.loss(tokens, targets, mask, **more)

    def states(self, tokens: torch.Tensor, mask: torch.Tensor | None = None, **more: Unpack[More]) -> torch.Tensor:
        """Final states of the decoder, or of the encoder where there is no other.

        Args:
            tokens: Ids (batch, length); those of the target for an encoder-decoder. Without a vocabulary the vectors.
            mask: (batch, length), 1 for a real token, 0 for padding; None: all are real. With a cache also that of
                all tokens so far.
            more: What ``Inputs`` names: source, source_mask, encoded (as ``encode`` gives it), token_types, documents,
                source_documents, positions, cache (as ``new_cache`` makes it), prefix.

        Returns:
            (batch, length, width).
        """
        return self._run(tokens, mask, Inputs(**more))[0]

    def encode(
        self,
        source: torch.Tensor,
        source_mask: torch.Tensor | None = None,
        *,
        token_types: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Final states of the encoder, (batch, source length, width)."""
        if self.encoder is None:
            raise DescriptionError("a decoder has no encoder. Call states(tokens, mask), or build another kind.")
        extras = Inputs(token_types=token_types, documents=documents)
        return self._encoded(source, source_mask, extras)[0]

    def logits(self, tokens: torch.Tensor, mask: torch.Tensor | None = None, **more: Unpack[More]) -> torch.Tensor:
        """Scores of all tokens at every position, (batch, length, vocabulary); arguments as those of ``states``."""
        states = self.before_output(self.states(tokens, mask, **more))
        weight, bias = self.output_table()
        scores = functional.linear(states, weight, bias)
        cap = self.architecture.output_softcap
        return scores if cap is None else cap * torch.tanh(scores / cap)

    def output_table(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight (vocabulary, width) and bias (vocabulary) of the output product; the weight may be the token table's.

        Raises:
            DescriptionError: The model has no vocabulary, or a tied table of another width than the states.
        """
        a, table = self.architecture, self.embedding.tokens
        if table is None:
            raise DescriptionError("the Architecture has vocabulary=0: there are no logits. Give it a vocabulary.")
        weight = table.weight if self.output.weight is None else self.output.weight
        leaves = embedding_width(a) if a.output_projection or a.prediction_head else a.width
        if leaves != output_width(a):
            raise DescriptionError(
                f"states leave {leaves} wide, but the output table tied to the token table is {output_width(a)} wide. "
                f"Build the model with prediction_head = true or output_projection = true."
            )
        biases = [self.output.bias, None if self.prediction is None else self.prediction.bias]
        given = [bias for bias in biases if bias is not None]
        whole = sum(given[1:], given[0]) if given else None
        return weight, whole if whole is None or a.output_scale == 1 else whole * a.output_scale

    def before_output(self, states: torch.Tensor) -> torch.Tensor:
        """Final states (..., width) as the output table takes them: transformed, projected, scaled."""
        if self.prediction is not None:
            states = self.prediction(states)
        elif self.output_projection is not None:
            states = self.output_projection(states)
        scale = self.architecture.output_scale
        return states if scale == 1 else states * scale

    def loss(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        **more: Unpack[More],
    ) -> torch.Tensor:
        """Mean of -log P(target) over the positions whose target is not -100.

        Equation: -1/m sum_t log P(y_t | ...).

        Args:
            tokens: (batch, length).
            targets: Id that is right at each position (batch, length); -100: none is predicted there, and no logits
                are computed.
            mask: (batch, length), 1 for a real token.
            label_smoothing: As that of ``linear_cross_entropy``.
            z_loss: As that of ``linear_cross_entropy``.
            more: As those of ``states``.

        Returns:
            A scalar. While training the losses of later tokens and of the experts' balance are added, by their weights.
        """
        a, inputs = self.architecture, Inputs(**more)
        states, sight = self._run(tokens, mask, inputs)
        loss = self.loss_of(states, targets, label_smoothing=label_smoothing, z_loss=z_loss)
        if not self.training:
            return loss
        if self.multi_token and a.multi_token_weight:
            loss = loss + a.multi_token_weight * later_loss(self, states, tokens, targets, sight)
        if sight.balance and a.experts is not None and a.experts.load_balance_weight:
            loss = loss + a.experts.load_balance_weight * torch.stack(sight.balance).mean().to(loss.dtype)
        return loss

    def loss_of(
        self, states: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0, z_loss: float = 0.0
    ) -> torch.Tensor:
        """The same of final states (batch, length, width): several losses may share one pass.

        Args:
            states: Final states, (batch, length, width).
            targets: (batch, length), -100 where none is predicted.
            label_smoothing: As that of ``linear_cross_entropy``.
            z_loss: As that of ``linear_cross_entropy``.
        """
        rows, wanted = states.flatten(0, -2), targets.flatten()
        if may_be_read(wanted):
            kept = wanted != IGNORED
            if not bool(kept.all()):
                rows, wanted = rows[kept], wanted[kept]  # what stands before the output runs at predicted places only
        weight, bias = self.output_table()
        return linear_cross_entropy(
            self.before_output(rows),
            weight,
            wanted,
            bias,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            softcap=self.architecture.output_softcap,
        )

    def pooled(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """What stands for each sequence, (batch, width): the pooler over the state of its first token.

        Args:
            states: Final states (batch, length, width).
            mask: (batch, length), 1 for a real token.
        """
        if self.pooler is None:
            raise missing_head("pooler", "pooler")
        pooled: torch.Tensor = self.pooler(sequence_state(states, mask, "first"))
        return pooled

    def next_sentence_logits(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Scores (batch, 2) of: the second segment follows the first, it does not. Arguments as those of ``pooled``.

        Source: devlin2019bert, section 3.1, task 2.
        """
        if self.next_sentence is None:
            raise missing_head("next-sentence head", "next_sentence_head")
        scores: torch.Tensor = self.next_sentence(self.pooled(states, mask))
        return scores

    def labels(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Scores (batch, labels) of whole sequences, from the first token of an encoder or the last of a decoder.

        Where the head says ``pooling``, from what that says.

        Args:
            states: Final states (batch, length, width).
            mask: (batch, length), 1 for a real token.
        """
        if self.task is None:
            raise missing_head("head for labels", "task_head")
        head = self.architecture.task_head
        asked = None if head is None else head.pooling
        usual: Pooling = "first" if self.decoder is None else "last"
        pooled = self.pooler is not None and asked is None
        state = self.pooled(states, mask) if pooled else sequence_state(states, mask, asked or usual)
        scores: torch.Tensor = self.task(self._narrowed(state))
        return scores

    def token_labels(self, states: torch.Tensor) -> torch.Tensor:
        """Scores (batch, length, labels) of each token, of final states (batch, length, width)."""
        if self.task is None:
            raise missing_head("head for labels", "task_head")
        scores: torch.Tensor = self.task(self._narrowed(states))
        return scores

    def span(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of each token as the start and as the end of an answer, (batch, length) twice; padding is neither."""
        scores = self.token_labels(states)
        if scores.shape[-1] != 2:
            raise missing_head("head for spans", "task_head = {labels = 2}")
        if mask is not None:
            scores = scores.masked_fill(~mask.bool()[..., None], torch.finfo(scores.dtype).min)
        return scores[..., 0], scores[..., 1]

    def new_cache(self, batch: int, *, length: int | None = None) -> Cache:
        """An empty cache for ``batch`` sequences, with room for ``length`` tokens; left out, it grows."""
        if self.decoder is None:
            raise DescriptionError("an encoder sees all tokens at once: it has no cache. Leave cache out.")
        return Cache(self.decoder.count, batch=batch, length=length)

    def _narrowed(self, states: torch.Tensor) -> torch.Tensor:
        """States as a head for labels takes them: OPT-350M's leave as wide as its token table."""
        return states if self.output_projection is None else self.output_projection(states)

    def _run(self, tokens: torch.Tensor, mask: torch.Tensor | None, extras: Inputs) -> tuple[torch.Tensor, Sight]:
        """Final states, and what the layers shared and handed back."""
        x = extras
        a = self.architecture
        if a.positions in ("relative", "alibi") or a.relative_buckets:
            x.refuse(("positions",), "this model knows tokens by their distance, which follows from their order")
        if x.cache is not None:
            x.refuse(("documents",), "a cache holds one document a sequence")
        if self.decoder is None:
            x.refuse((*OF_A_SOURCE, "prefix", "cache"), "an encoder reads one sequence, and all of it at once")
            return self._encoded(tokens, mask, x)
        if self.encoder is None:
            x.refuse(OF_A_SOURCE, "a decoder reads one sequence")
            return self._decoded(tokens, mask, x, None)
        if x.encoded is not None:
            return self._decoded(tokens, mask, x, x.encoded)
        if x.cache is not None and x.cache.length:  # it holds what the decoder sees of the source
            return self._decoded(tokens, mask, x, None)
        if x.source is None:
            raise DescriptionError(
                "an encoder-decoder needs its source. Give source=..., or encoded=model.encode(source, source_mask)."
            )
        source = Inputs(documents=x.source_documents)
        encoded, seen = self._encoded(x.source, x.source_mask, source, source=True)
        states, sight = self._decoded(tokens, mask, x, encoded)
        sight.balance = seen.balance + sight.balance
        return states, sight

    def _encoded(
        self, tokens: torch.Tensor, mask: torch.Tensor | None, x: Inputs, *, source: bool = True
    ) -> tuple[torch.Tensor, Sight]:
        assert self.encoder is not None  # callers know
        real = checked_mask(mask, (tokens.shape[0], tokens.shape[1]), "source_mask" if self.decoder else "mask")
        known = Tokens(queries=tokens.shape[1], device=tokens.device, mask=real, documents=x.documents)
        return self._through(self.encoder, tokens, known, x, None, source=source)

    def _decoded(
        self, tokens: torch.Tensor, mask: torch.Tensor | None, x: Inputs, encoded: torch.Tensor | None
    ) -> tuple[torch.Tensor, Sight]:
        assert self.decoder is not None  # callers know
        before = 0 if x.cache is None else x.cache.length
        length = tokens.shape[1]
        if x.cache is not None:
            mask = x.cache.whole_mask(mask, tokens)
        real = checked_mask(mask, (tokens.shape[0], before + length), "mask")
        known = Tokens(
            queries=length, device=tokens.device, mask=real, documents=x.documents, prefix=x.prefix, before=before
        )
        sight = nothing_seen()
        sight.encoded, sight.cache, sight.across = encoded, x.cache, self._across(x, encoded)
        return self._through(self.decoder, tokens, known, x, sight)

    def _across(self, x: Inputs, encoded: torch.Tensor | None) -> Sees:
        """What the target sees of the source."""
        if self.encoder is None:
            return Sees()
        allowed = None
        if x.source_mask is not None:
            shape = tuple(x.source_mask.shape) if encoded is None else (encoded.shape[0], encoded.shape[1])
            real = checked_mask(x.source_mask, shape, "source_mask")  # type: ignore[arg-type]  # two dimensions
            allowed = None if real is None else real[:, None, None]
        if (x.documents is None) != (x.source_documents is None):
            raise DescriptionError("packed targets need packed sources: give both documents and source_documents.")
        if x.documents is not None and x.source_documents is not None:
            same = x.documents[:, None, :, None] == x.source_documents[:, None, None]
            allowed = same if allowed is None else same & allowed
        return Sees(allowed=allowed)

    def _through(
        self,
        stack: Stack,
        tokens: torch.Tensor,
        known: Tokens,
        x: Inputs,
        sight: Sight | None,
        *,
        source: bool = False,
    ) -> tuple[torch.Tensor, Sight]:
        """A stack's final states of tokens."""
        vectors = self.embedding(tokens, x.token_types, source=source)
        places = counted_positions(known) if x.positions is None else x.positions
        entered = stack.inputs(vectors, self.embedding.projection, places, known.before)
        final: tuple[torch.Tensor, Sight] = stack(entered, known, sight, places)
        return final
