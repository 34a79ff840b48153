"""FLOP of generation against torch's own counter, to the integer, with a cache and without."""

from __future__ import annotations

import pytest

from tonne.count.inference import decode_flop, generation_flop, prefill_flop
from tonne.describe.architecture import Architecture

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

pytestmark = pytest.mark.slow  # whole networks, run to count what they execute

VOCABULARY, WIDTH, HEADS, KV_HEADS, HEAD, INNER, LAYERS = 97, 24, 4, 2, 8, 50, 3
PROMPT, OUTPUT = 7, 5


class Attention(nn.Module):
    """Grouped heads; the keys and values of earlier tokens are kept where a cache is given."""

    def __init__(self):
        super().__init__()
        self.query, self.output = nn.Linear(WIDTH, HEADS * HEAD, False), nn.Linear(HEADS * HEAD, WIDTH, False)
        self.key, self.value = nn.Linear(WIDTH, KV_HEADS * HEAD, False), nn.Linear(WIDTH, KV_HEADS * HEAD, False)

    def keys_values(self, states):
        return [linear(states).view(len(states), KV_HEADS, HEAD) for linear in (self.key, self.value)]

    def forward(self, states, cache=None, memory=None):
        if memory is None:
            memory = self.keys_values(states)
            if cache is not None:
                memory = [torch.cat(pair) for pair in zip(cache, memory, strict=True)] if cache else memory
                cache[:] = memory
        query = self.query(states).view(len(states), HEADS, HEAD)
        rows = []
        for place in range(len(states)):  # a token sees itself and what is before it: exactly the true mask
            seen = len(memory[0]) - (len(states) - 1 - place) * (not self.sees_all)
            key, value = (part[:seen].repeat_interleave(HEADS // KV_HEADS, 1).transpose(0, 1) for part in memory)
            scores = query[place].unsqueeze(1) @ key.transpose(1, 2)  # (H, 1, T)
            rows.append((scores.softmax(-1) @ value).reshape(-1))
        return self.output(torch.stack(rows))

    sees_all = False


class Layer(nn.Module):
    def __init__(self, cross=False, sees_all=False):
        super().__init__()
        self.attention, self.cross = Attention(), Attention() if cross else None
        self.attention.sees_all = sees_all
        if cross:
            self.cross.sees_all = True
        self.up, self.down = nn.Linear(WIDTH, INNER, False), nn.Linear(INNER, WIDTH, False)

    def forward(self, states, cache=None, memory=None):
        states = states + self.attention(states, cache)
        if self.cross is not None:
            states = states + self.cross(states, memory=memory)
        return states + self.down(self.up(states).relu())


class Decoder(nn.Module):
    def __init__(self, cross=False):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer(cross) for _ in range(LAYERS))

    def forward(self, tokens, caches=None, memories=None):
        states = self.table(tokens)
        for index, layer in enumerate(self.layers):
            memory = None if memories is None else memories[index]
            states = layer(states, None if caches is None else caches[index], memory)
        return nn.functional.linear(states[-1:], self.table.weight).argmax(-1)


def counted(function):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def generate(model, prompt, output, *, cache, memories_of=None):
    tokens = torch.arange(prompt)
    caches = [[] for _ in model.layers] if cache else None
    memories = memories_of() if memories_of else None
    token = model(tokens, caches, memories)
    for _ in range(output - 1):
        tokens = torch.cat([tokens, token])
        if memories_of and not cache:
            memories = memories_of()
        token = model(token if cache else tokens, caches, memories)


FIELDS = {
    "width": WIDTH, "heads": HEADS, "kv_heads": KV_HEADS, "head_width": HEAD, "feed_forward_width": INNER,
    "vocabulary": VOCABULARY, "bias": False,
}  # fmt: skip
DECODER = Architecture(kind="decoder", layers=LAYERS, **FIELDS)
BOTH = Architecture(kind="encoder-decoder", encoder_layers=2, decoder_layers=LAYERS, **FIELDS)


@pytest.mark.parametrize("cache", [True, False])
def test_decoder(cache):
    model = Decoder()
    executed = counted(lambda: generate(model, PROMPT, OUTPUT, cache=cache))
    assert generation_flop(DECODER, PROMPT, OUTPUT, cache=cache) == executed


def test_prefill_and_one_step():
    model, caches = Decoder(), [[] for _ in range(LAYERS)]
    assert prefill_flop(DECODER, PROMPT) == counted(lambda: model(torch.arange(PROMPT), caches))
    assert decode_flop(DECODER, PROMPT + 1) == counted(lambda: model(torch.arange(1), caches))


@pytest.mark.parametrize("cache", [True, False])
def test_encoder_decoder(cache):
    model, source = Decoder(cross=True), 11
    encoder = nn.ModuleList(Layer(sees_all=True) for _ in range(2))
    states = []

    def read_source():
        read = model.table(torch.arange(source))
        for layer in encoder:
            read = layer(read)
        states.append(read)

    def run():
        read_source()  # once, cache or none
        keys_values = lambda: [layer.cross.keys_values(states[0]) for layer in model.layers]  # noqa: E731
        generate(model, 1, OUTPUT, cache=cache, memories_of=keys_values)

    assert generation_flop(BOTH, source, OUTPUT, cache=cache) == counted(run)
