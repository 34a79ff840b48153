"""Rivals of benchmarks/training.py, each as one would use it: a module whose call on a batch is the mean loss.

nanoGPT is no package: its published shape (fused projections, no biases asked for, tanh GELU, tied table) is written
here from its description. The textbook is what tutorials write: products spelled out, a mask added, everything whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SPREAD = 0.02  # torch's unit tables make denormal gradients: rivals are not slowed down by that


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison: sizes of model and batch."""

    kind: str
    layers: int
    width: int
    heads: int
    vocabulary: int
    length: int
    batch: int


CASES = {
    "decoder": Case(kind="decoder", layers=6, width=384, heads=6, vocabulary=8192, length=256, batch=4),
    "decoder-50k": Case(kind="decoder", layers=6, width=384, heads=6, vocabulary=50257, length=256, batch=4),
    "encoder": Case(kind="encoder", layers=4, width=256, heads=4, vocabulary=30522, length=128, batch=16),
    "encoder-decoder": Case(kind="both", layers=4, width=256, heads=4, vocabulary=8192, length=128, batch=8),
}


class Batch:
    """Random ids of a case: what an objective would give, 15 % masked for the encoder."""

    def __init__(self, case: Case) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (case.batch, case.length)
        ids = torch.randint(0, case.vocabulary, (case.batch, case.length + 1), generator=generator)
        self.tokens, self.targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        self.source = torch.randint(0, case.vocabulary, shape, generator=generator)
        if case.kind == "encoder":
            masked = torch.rand(shape, generator=generator) < 0.15
            self.targets = torch.where(masked, self.targets, -100)
        self.types = torch.zeros(shape, dtype=torch.int64)
        self.types[:, case.length // 2 :] = 1
        self.pairs = torch.randint(0, 2, (case.batch,), generator=generator)


def drawn(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=SPREAD)
    return module


class NanoBlock(nn.Module):
    """Attention by the fused kernel, then the feed-forward part."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.heads = case.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(case.width, bias=False), nn.LayerNorm(case.width, bias=False)
        self.qkv = nn.Linear(case.width, 3 * case.width, bias=False)
        self.out = nn.Linear(case.width, case.width, bias=False)
        self.up, self.down = (
            nn.Linear(case.width, 4 * case.width, bias=False),
            nn.Linear(4 * case.width, case.width, bias=False),
        )

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm_1(x)).split(c, dim=2)
        q, k, v = (part.view(b, t, self.heads, c // self.heads).transpose(1, 2) for part in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(b, t, c))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class Nano(nn.Module):
    """nanoGPT's shape: a tied table, logits of every position, cross-entropy over all of them."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.tokens, self.positions = (
            nn.Embedding(case.vocabulary, case.width),
            nn.Embedding(case.length, case.width),
        )
        self.blocks = nn.ModuleList(NanoBlock(case) for _ in range(case.layers))
        self.norm = nn.LayerNorm(case.width, bias=False)

    def forward(self, batch):
        x = self.tokens(batch.tokens) + self.positions(torch.arange(batch.tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), batch.targets.view(-1))


class TextbookBlock(nn.Module):
    """Three projections, scores with a mask added, tanh GELU spelled out."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.heads, width = case.heads, case.width
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("seen", torch.tril(torch.ones(case.length, case.length)))

    def forward(self, x):
        b, t, c = x.shape
        y = self.norm_1(x)
        q, k, v = (
            part(y).view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)
        scores = scores.masked_fill(self.seen[:t, :t] == 0, float("-inf"))
        x = x + self.out((functional.softmax(scores, dim=-1) @ v).transpose(1, 2).contiguous().view(b, t, c))
        y = self.up(self.norm_2(x))
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        return x + self.down(y)


class Textbook(Nano):
    """The same model as tutorials write it."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.blocks = nn.ModuleList(TextbookBlock(case) for _ in range(case.layers))
        self.norm = nn.LayerNorm(case.width)


class TorchEncoder(Nano):
    """torch.nn.TransformerEncoder under a causal mask."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        layer = nn.TransformerEncoderLayer(
            case.width, case.heads, 4 * case.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, case.layers, enable_nested_tensor=False)
        self.seen = nn.Transformer.generate_square_subsequent_mask(case.length)

    def forward(self, batch):
        x = self.tokens(batch.tokens) + self.positions(torch.arange(batch.tokens.shape[1]))
        logits = functional.linear(self.norm(self.blocks(x, mask=self.seen, is_causal=True)), self.tokens.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), batch.targets.view(-1))


class TorchBoth(nn.Module):
    """torch.nn.Transformer with learned positions and one table for source, target and output."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.tokens, self.positions = (
            nn.Embedding(case.vocabulary, case.width),
            nn.Embedding(case.length, case.width),
        )
        self.both = nn.Transformer(
            case.width,
            case.heads,
            case.layers,
            case.layers,
            4 * case.width,
            dropout=0.0,
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        self.seen = nn.Transformer.generate_square_subsequent_mask(case.length)

    def forward(self, batch):
        places = self.positions(torch.arange(batch.tokens.shape[1]))
        states = self.both(
            self.tokens(batch.source) + places,
            self.tokens(batch.tokens) + places,
            tgt_mask=self.seen,
            tgt_is_causal=True,
        )
        logits = functional.linear(states, self.tokens.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), batch.targets.view(-1))


class Transformers(nn.Module):
    """A class of transformers with its own loss."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        import transformers as hf

        self.kind = case.kind
        none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        if case.kind == "decoder":
            config = hf.GPT2Config(
                vocab_size=case.vocabulary,
                n_positions=case.length,
                n_embd=case.width,
                n_layer=case.layers,
                n_head=case.heads,
                use_cache=False,
                attn_implementation="sdpa",
                **none,
            )
            self.model = hf.GPT2LMHeadModel(config)
        elif case.kind == "encoder":
            config = hf.BertConfig(
                vocab_size=case.vocabulary,
                max_position_embeddings=case.length,
                hidden_size=case.width,
                num_hidden_layers=case.layers,
                num_attention_heads=case.heads,
                intermediate_size=4 * case.width,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                attn_implementation="sdpa",
            )
            self.model = hf.BertForPreTraining(config)
        else:
            config = hf.T5Config(
                vocab_size=case.vocabulary,
                d_model=case.width,
                d_kv=case.width // case.heads,
                d_ff=4 * case.width,
                num_layers=case.layers,
                num_heads=case.heads,
                dropout_rate=0.0,
                use_cache=False,
                decoder_start_token_id=0,
            )
            self.model = hf.T5ForConditionalGeneration(config)

    def forward(self, batch):
        if self.kind == "decoder":
            logits = self.model(input_ids=batch.tokens).logits
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]), batch.targets.view(-1))
        if self.kind == "encoder":
            return self.model(
                input_ids=batch.tokens,
                token_type_ids=batch.types,
                labels=batch.targets,
                next_sentence_label=batch.pairs,
            ).loss
        return self.model(input_ids=batch.source, decoder_input_ids=batch.tokens, labels=batch.targets).loss


RIVALS = {
    "nanogpt": (Nano, ("decoder",)),
    "textbook": (Textbook, ("decoder",)),
    "torch.nn.TransformerEncoder": (TorchEncoder, ("decoder",)),
    "torch.nn.Transformer": (TorchBoth, ("both",)),
    "transformers": (Transformers, ("decoder", "encoder", "both")),
}
