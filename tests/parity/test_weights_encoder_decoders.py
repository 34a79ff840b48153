"""T5 and BART read from what transformers saved: logits, losses, every gradient and the cache, in fp64.

T5's norms are fp32 in transformers, whatever the model; the fixture ``in_double`` takes this cast to fp64.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 - after the check that it is there

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LIMIT = 1e-9
T5 = {
    "vocab_size": 101,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 50,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 9,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
}
BART = {
    "vocab_size": 101,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 50,
    "decoder_ffn_dim": 34,
    "max_position_embeddings": 60,
    "pad_token_id": 0,
}
CASES = {
    "t5": ("T5ForConditionalGeneration", T5),
    "t5 1.1": ("T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "t5, gated silu": (
        "T5ForConditionalGeneration",
        T5 | {"feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-3},
    ),
    "t5, 32 buckets": (
        "T5ForConditionalGeneration",
        T5 | {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
    ),
    "bart": ("BartForConditionalGeneration", BART),
    "bart, scaled embedding, tanh": (
        "BartForConditionalGeneration",
        BART | {"scale_embedding": True, "activation_function": "gelu_new"},
    ),
    "bart, untied": ("BartForConditionalGeneration", BART | {"tie_word_embeddings": False}),
}
BASES = {
    "t5": ("T5Model", T5),
    "bart": ("BartModel", BART),
    "bart, untied": ("BartModel", BART | {"tie_word_embeddings": False}),
}


@pytest.fixture(params=CASES)
def pair(request, twins):
    return twins(*CASES[request.param])


def padded(rows, length):
    """Tokens and mask, rows of ever more padding, whose id is 0."""
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(1, rows):
        mask[row, max(1, length - 3 * row) :] = 0
    return torch.randint(3, 101, (rows, length)) * mask, mask


def error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def check_gradients(ours, theirs, pair, relative_errors):
    assert ours.item() == pytest.approx(theirs.item(), rel=LIMIT)
    ours.backward()
    theirs.backward()
    found = relative_errors(pair)
    assert len(found) > 25
    assert max(found.values()) <= LIMIT, max(found, key=found.get)


@pytest.mark.parametrize(("source_length", "length"), [(1, 1), (9, 5), (6, 17), (50, 33)])
def test_logits_at_real_tokens(pair, source_length, length):
    (source, source_mask), (target, mask) = padded(3, source_length), padded(3, length)
    with torch.no_grad():
        theirs = pair.theirs(
            input_ids=source,
            attention_mask=source_mask,
            decoder_input_ids=target,
            decoder_attention_mask=mask,
        ).logits
        ours = pair.ours.logits(target, mask, source=source, source_mask=source_mask)
    assert error(ours[mask.bool()], theirs[mask.bool()]) <= LIMIT


def test_loss_and_every_gradient(pair, relative_errors):
    (source, source_mask), (target, mask) = padded(3, 21), padded(3, 13)
    labels = torch.randint(3, 101, target.shape).masked_fill(mask == 0, -100)
    theirs = pair.theirs(
        input_ids=source,
        attention_mask=source_mask,
        decoder_input_ids=target,
        decoder_attention_mask=mask,
        labels=labels,
    ).loss
    ours = pair.ours.loss(target, labels, mask, source=source, source_mask=source_mask)
    check_gradients(ours, theirs, pair, relative_errors)


def test_logits_with_a_cache_step_by_step(pair):
    source, source_mask = padded(2, 11)
    target = torch.randint(3, 101, (2, 10))
    pair.theirs.eval()
    pair.ours.eval()
    past, cache = None, pair.ours.new_cache(2)
    with torch.no_grad():
        encoded = pair.theirs.get_encoder()(input_ids=source, attention_mask=source_mask)
        ours_encoded = pair.ours.encode(source, source_mask)
        real = source_mask.bool()
        assert error(ours_encoded[real], encoded.last_hidden_state[real]) <= LIMIT
        for start, end in ((0, 1), (1, 2), (2, 6), (6, 10)):
            out = pair.theirs(
                encoder_outputs=encoded,
                attention_mask=source_mask,
                decoder_input_ids=target[:, start:end],
                past_key_values=past,
                use_cache=True,
            )
            past = out.past_key_values
            ours = pair.ours.logits(target[:, start:end], encoded=ours_encoded, source_mask=source_mask, cache=cache)
            assert error(ours, out.logits) <= LIMIT


@pytest.mark.parametrize("case", BASES)
def test_states_of_the_base_model(twins, case, relative_errors):
    pair = twins(*BASES[case])
    (source, source_mask), (target, mask) = padded(3, 12), padded(3, 7)
    theirs = pair.theirs(
        input_ids=source, attention_mask=source_mask, decoder_input_ids=target, decoder_attention_mask=mask
    ).last_hidden_state
    ours = pair.ours.states(target, mask, source=source, source_mask=source_mask)
    real = mask.bool()
    assert error(ours[real], theirs[real]) <= LIMIT
    check_gradients(ours[real].square().sum(), theirs[real].square().sum(), pair, relative_errors)


def test_states_of_t5s_encoder(twins, relative_errors):
    pair = twins("T5EncoderModel", T5 | {"num_layers": 5})
    source, mask = padded(3, 30)
    theirs = pair.theirs(input_ids=source, attention_mask=mask).last_hidden_state
    ours = pair.ours.states(source, mask)
    real = mask.bool()
    assert error(ours[real], theirs[real]) <= LIMIT
    check_gradients(ours[real].square().sum(), theirs[real].square().sum(), pair, relative_errors)


@pytest.mark.parametrize("case", [("BartForSequenceClassification", BART), ("T5ForSequenceClassification", T5)])
def test_labels_of_sequences(twins, case, relative_errors):
    end = 2 if case[0].startswith("Bart") else 1
    pair = twins(case[0], case[1] | {"num_labels": 4, "eos_token_id": end})
    tokens, mask = padded(3, 9)
    last = mask.sum(1) - 1
    tokens[torch.arange(3), last] = end  # transformers labels the last end of a text
    answers = torch.tensor([0, 3, 1])
    theirs = pair.theirs(
        input_ids=tokens, attention_mask=mask, decoder_input_ids=tokens, decoder_attention_mask=mask, labels=answers
    )
    states = pair.ours.states(tokens, mask, source=tokens, source_mask=mask)
    scores = pair.ours.labels(states, mask)
    assert error(scores, theirs.logits) <= LIMIT
    check_gradients(functional.cross_entropy(scores, answers), theirs.loss, pair, relative_errors)


@pytest.mark.parametrize("case", [("BartForQuestionAnswering", BART), ("T5ForQuestionAnswering", T5)])
def test_where_an_answer_starts_and_ends(twins, case, relative_errors):
    pair = twins(*case)
    tokens, mask = padded(2, 9)
    starts, ends = torch.tensor([3, 0]), torch.tensor([7, 2])
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, decoder_input_ids=tokens, decoder_attention_mask=mask)
    start, end = pair.ours.span(pair.ours.states(tokens, mask, source=tokens, source_mask=mask), mask)
    padding = mask == 0  # transformers would let it be an answer
    wanted = [s.masked_fill(padding, torch.finfo(s.dtype).min) for s in (theirs.start_logits, theirs.end_logits)]
    assert error(start[~padding], wanted[0][~padding]) <= LIMIT
    assert error(end[~padding], wanted[1][~padding]) <= LIMIT
    ours = functional.cross_entropy(start, starts) + functional.cross_entropy(end, ends)
    expected = functional.cross_entropy(wanted[0], starts) + functional.cross_entropy(wanted[1], ends)
    check_gradients(ours, expected, pair, relative_errors)


def test_labels_of_tokens(twins, relative_errors):
    pair = twins("T5ForTokenClassification", T5 | {"num_labels": 5})
    tokens, mask = padded(3, 12)
    answers = torch.randint(0, 5, tokens.shape).masked_fill(mask == 0, -100)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, labels=answers)
    scores = pair.ours.token_labels(pair.ours.states(tokens, mask))
    ours = functional.cross_entropy(scores.flatten(0, 1), answers.flatten())
    check_gradients(ours, theirs.loss, pair, relative_errors)
