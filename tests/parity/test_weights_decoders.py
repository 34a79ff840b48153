"""Decoders read from what transformers saved: logits, loss, every gradient and the cache, in fp64.

transformers casts norms, rotations, the softmax and logits under a loss to fp32 even in an fp64 model; the fixture
``in_double`` takes these casts to fp64, so that the limit is one on ours and not on their rounding. As it stands, an
fp64 model of theirs differs from ours by up to 1e-6, which is that rounding.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 - after the check that it is there

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LIMIT = 1e-9
GPT2 = {
    "vocab_size": 101,
    "n_embd": 24,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 40,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
LLAMA = {
    "vocab_size": 101,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 50,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
LLAMA3_SCALING = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
CASES = {
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "gpt2, untied, erf, other scales": (
        "GPT2LMHeadModel",
        GPT2
        | {
            "tie_word_embeddings": False,
            "activation_function": "gelu",
            "n_inner": 50,
            "scale_attn_by_inverse_layer_idx": True,
            "scale_attn_weights": False,
            "layer_norm_epsilon": 1e-3,
        },
    ),
    "llama": ("LlamaForCausalLM", LLAMA | {"rms_norm_eps": 1e-3, "rope_theta": 500.0}),
    "llama 3": ("LlamaForCausalLM", LLAMA | {"rope_parameters": LLAMA3_SCALING, "tie_word_embeddings": True}),
    "llama, yarn, biases, wide heads": (
        "LlamaForCausalLM",
        LLAMA | {"rope_parameters": YARN, "attention_bias": True, "mlp_bias": True, "head_dim": 10},
    ),
    "llama, linear": ("LlamaForCausalLM", LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 3.0}}),
    "mistral, window": ("MistralForCausalLM", LLAMA | {"sliding_window": 5}),
    "mistral, no window": ("MistralForCausalLM", LLAMA | {"sliding_window": None, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2ForCausalLM", LLAMA),
    "qwen2, upper windows": (
        "Qwen2ForCausalLM",
        LLAMA | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
}


@pytest.fixture(params=CASES)
def pair(request, twins):
    return twins(*CASES[request.param])


def tokens_and_mask(batch, length):
    """Rows of ever more padding on the right, whose id is 0."""
    tokens = torch.randint(1, 101, (batch, length))
    mask = torch.ones(batch, length, dtype=torch.long)
    for row in range(1, batch):
        mask[row, max(1, length - 2 * row) :] = 0
    return tokens * mask, mask


def error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("length", [1, 2, 9, 33])
def test_logits_at_real_tokens(pair, length):
    tokens, mask = tokens_and_mask(3, length)
    with torch.no_grad():
        theirs = pair.theirs(input_ids=tokens, attention_mask=mask).logits
        ours = pair.ours.logits(tokens, mask)
    real = mask.bool()
    assert ours.dtype == torch.float64
    assert error(ours[real], theirs[real]) <= LIMIT


def test_logits_behind_padding_on_the_left(pair):
    tokens, mask = tokens_and_mask(3, 12)
    tokens, mask = tokens.flip(1), mask.flip(1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        theirs = pair.theirs(input_ids=tokens, attention_mask=mask, position_ids=positions).logits
        given = pair.ours.logits(tokens, mask, positions=positions)
        counted = pair.ours.logits(tokens, mask)
    real = mask.bool()
    assert error(given[real], theirs[real]) <= LIMIT
    assert error(counted[real], theirs[real]) <= LIMIT


def test_loss_and_every_gradient(pair, relative_errors):
    tokens, mask = tokens_and_mask(3, 17)
    labels = tokens.masked_fill(mask == 0, -100)
    targets = functional.pad(labels[:, 1:], (0, 1), value=-100)  # the token after each
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, labels=labels).loss
    ours = pair.ours.loss(tokens, targets, mask)
    assert ours.item() == pytest.approx(theirs.item(), rel=LIMIT)
    theirs.backward()
    ours.backward()
    found = relative_errors(pair)
    assert len(found) > 20
    assert max(found.values()) <= LIMIT, max(found, key=found.get)


def test_logits_with_a_cache_step_by_step(pair):
    tokens, _ = tokens_and_mask(1, 14)
    pair.theirs.eval()
    pair.ours.eval()
    past, cache = None, pair.ours.new_cache(1)
    with torch.no_grad():
        for start, end in ((0, 6), (6, 7), (7, 8), (8, 14)):
            out = pair.theirs(input_ids=tokens[:, start:end], past_key_values=past, use_cache=True)
            past = out.past_key_values
            ours = pair.ours.logits(tokens[:, start:end], cache=cache)
            assert error(ours, out.logits) <= LIMIT
    assert cache.length == 14


HEADS = {
    "GPT2ForSequenceClassification": GPT2,
    "GPT2ForTokenClassification": GPT2,
    "LlamaForSequenceClassification": LLAMA,
    "LlamaForTokenClassification": LLAMA,
    "MistralForSequenceClassification": LLAMA | {"sliding_window": 4},
    "Qwen2ForTokenClassification": LLAMA,
}
ANSWERS = {"GPT2ForQuestionAnswering": GPT2, "LlamaForQuestionAnswering": LLAMA, "Qwen2ForQuestionAnswering": LLAMA}


@pytest.mark.parametrize("class_name", HEADS)
def test_labels(twins, class_name, relative_errors):
    pair = twins(class_name, HEADS[class_name] | {"num_labels": 4})
    tokens, mask = tokens_and_mask(3, 11)
    of_tokens = "Token" in class_name
    answers = torch.randint(0, 4, tokens.shape if of_tokens else (3,))
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask)
    states = pair.ours.states(tokens, mask)
    ours = pair.ours.token_labels(states)[mask.bool()] if of_tokens else pair.ours.labels(states, mask)
    wanted = theirs.logits[mask.bool()] if of_tokens else theirs.logits
    assert error(ours, wanted) <= LIMIT
    answers = answers[mask.bool()] if of_tokens else answers
    functional.cross_entropy(ours, answers).backward()
    functional.cross_entropy(wanted, answers).backward()
    found = relative_errors(pair)
    assert max(found.values()) <= LIMIT, max(found, key=found.get)


@pytest.mark.parametrize("class_name", ANSWERS)
def test_where_an_answer_starts_and_ends(twins, class_name):
    pair = twins(class_name, ANSWERS[class_name])
    tokens, mask = tokens_and_mask(3, 11)
    with torch.no_grad():
        theirs = pair.theirs(input_ids=tokens, attention_mask=mask)
        start, end = pair.ours.span(pair.ours.states(tokens, mask), mask)
    assert error(start[mask.bool()], theirs.start_logits[mask.bool()]) <= LIMIT
    assert error(end[mask.bool()], theirs.end_logits[mask.bool()]) <= LIMIT


def test_dynamic_rotation_beyond_the_length_trained_on(twins):
    scaling = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    pair = twins("LlamaForCausalLM", LLAMA | {"max_position_embeddings": 16, "rope_parameters": scaling})
    for length in (9, 40):
        tokens, mask = tokens_and_mask(2, length)
        with torch.no_grad():
            theirs = pair.theirs(input_ids=tokens, attention_mask=mask).logits
            ours = pair.ours.logits(tokens, mask)
        assert error(ours[mask.bool()], theirs[mask.bool()]) <= LIMIT
