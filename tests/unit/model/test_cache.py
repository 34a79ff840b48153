"""Tokens one by one, with what is kept of those before, give the same logits as all at once."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.cache import Cache, LayerCache  # noqa: E402

DECODERS = (
    "gpt2-small",
    "llama-3-8b",
    "falcon-7b",
    "bloom-560m",
    "opt-350m",
    "lamda-137b",
    "glam-64b-64e",
    "gopher-44m",
    "gemma-3-1b",
    "gpt-oss-20b",
    "gpt-j-6b",
    "olmo-2-7b",
    "apertus-8b",
    "deepseek-v2-236b",
    "deepseek-v3-671b",
    "qwen3-30b-a3b",
)
BOTH = ("t5-base", "bart-base", "switch-base-128")


def model_of(architecture):
    torch.manual_seed(0)
    return Transformer(architecture.model_copy(update={"initial_std": 0.3}), dtype=torch.float64).eval()


def ids(batch, length, seed=1):
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def in_steps(model, tokens, mask, steps, cache, **more):
    """Logits of the tokens, given in pieces of these lengths."""
    parts, start = [], 0
    for step in steps:
        piece = slice(start, start + step)
        given = None if mask is None else mask[:, piece]
        parts.append(model.logits(tokens[:, piece], given, cache=cache, **more))
        start += step
    return torch.cat(parts, 1)


@pytest.mark.parametrize("steps", [[1] * 9, [4, 1, 4], [9]], ids=str)
@pytest.mark.parametrize("preset", DECODERS)
def test_cached_logits_are_those_without_a_cache(small, preset, steps):
    model, tokens = model_of(small(preset)), ids(2, 9)
    with torch.no_grad():
        whole = model.logits(tokens)
    cache = model.new_cache(2)
    assert (in_steps(model, tokens, None, steps, cache) - whole).abs().max() <= 1e-12
    assert cache.length == 9


@pytest.mark.parametrize("preset", DECODERS)
def test_prompts_padded_on_the_left_go_on_as_alone(small, preset):
    model, tokens = model_of(small(preset)), ids(1, 7)
    padded = torch.nn.functional.pad(tokens, (2, 0))
    mask = torch.nn.functional.pad(torch.ones_like(tokens), (2, 0))
    with torch.no_grad():
        alone = model.logits(tokens)
    together = in_steps(model, padded, mask, [5, 1, 1, 2], model.new_cache(1, length=9))
    assert (together[:, 2:] - alone).abs().max() <= 1e-12


@pytest.mark.parametrize("preset", BOTH)
def test_a_decoder_keeps_the_keys_of_its_source(small, preset):
    model, source, target = model_of(small(preset)), ids(2, 6), ids(2, 5, seed=2)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    with torch.no_grad():
        whole = model.logits(target, source=source, source_mask=mask)
        encoded = model.encode(source, mask)
    cache = model.new_cache(2)
    stepped = in_steps(model, target, None, [1] * 5, cache, encoded=encoded, source_mask=mask)
    assert (stepped - whole).abs().max() <= 1e-12


def test_beams_take_over_one_another(small):
    model, tokens = model_of(small("llama-3-8b")), ids(2, 6)
    cache = model.new_cache(2)
    in_steps(model, tokens[:, :4], torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]), [4], cache)
    cache.reorder(torch.tensor([1, 1, 0]))
    with torch.no_grad():
        further = model.logits(tokens[[1, 1, 0], 4:5], cache=cache)
        alone = model.logits(tokens[1:, :5])[:, -1:]
    assert cache.batch == 3
    assert (further[:2] - alone).abs().max() <= 1e-12


def test_a_layer_keeps_what_it_was_given_in_order():
    kept = LayerCache(None)
    for start in range(5):
        part = torch.full((1, 1, 1, 2), float(start))
        keys, values = kept.append(part, -part)
    assert keys[0, :, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert values[0, :, 0, 0].tolist() == [0, -1, -2, -3, -4]


def test_room_that_was_asked_for_is_taken_once():
    kept = LayerCache(6)
    kept.append(torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2))
    first = kept.kept[0].data_ptr()
    kept.append(torch.zeros(1, 4, 1, 2), torch.zeros(1, 4, 1, 2))
    assert kept.kept[0].data_ptr() == first


def test_a_cache_remembers_the_padding():
    cache = Cache(1, batch=1)
    tokens = torch.zeros(1, 2, dtype=torch.long)
    assert cache.whole_mask(None, tokens) is None
    cache.layers[0].append(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1))
    assert cache.whole_mask(torch.tensor([[0, 1]]), tokens).int().tolist() == [[1, 1, 0, 1]]


def test_gradients_pass_through_a_cache(small):
    model, tokens = model_of(small("gpt2-small")), ids(1, 4)
    cache = model.new_cache(1)
    parts = [model.logits(tokens[:, [step]], cache=cache) for step in range(4)]
    torch.cat(parts, 1).square().sum().backward()
    stepped = model.embedding.tokens.weight.grad.clone()
    model.zero_grad()
    model.logits(tokens).square().sum().backward()
    assert (stepped - model.embedding.tokens.weight.grad).abs().max() <= 1e-9


def test_an_encoder_has_no_cache(small):
    model = model_of(small("bert-base-uncased"))
    with pytest.raises(DescriptionError, match="an encoder sees all tokens at once"):
        model.new_cache(1)
    with pytest.raises(DescriptionError, match="cache was given, but an encoder reads one sequence"):
        model.logits(ids(1, 3), cache=Cache(2, batch=1))
