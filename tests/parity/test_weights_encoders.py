"""BERT's classes read from what transformers saved: logits, losses and every gradient, in fp64."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 - after the check that it is there

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LIMIT = 1e-9
BERT = {
    "vocab_size": 101,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
SHAPES = {
    "": BERT,
    "tanh, other epsilon": BERT | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "type_vocab_size": 3},
}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def batch_of(length, rows=3):
    """Tokens, their padding mask and their segments; rows of ever more padding, whose id is 0."""
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(1, rows):
        mask[row, max(1, length - 3 * row) :] = 0
    tokens = torch.randint(1, 101, (rows, length)) * mask
    types = (torch.arange(length) > length // 2).long().expand(rows, -1) * mask
    return tokens, mask, types


def error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def predicted(tokens, mask):
    """Some of the real tokens as targets, -100 elsewhere."""
    chosen = (torch.rand(tokens.shape) < 0.4) & mask.bool()
    chosen[0, 0] = True
    return tokens.masked_fill(~chosen, -100)


def check_gradients(ours, theirs, pair, relative_errors):
    assert ours.item() == pytest.approx(theirs.item(), rel=LIMIT)
    ours.backward()
    theirs.backward()
    found = relative_errors(pair)
    assert len(found) > 20
    assert max(found.values()) <= LIMIT, max(found, key=found.get)


@pytest.mark.parametrize("length", [1, 9, 40])
def test_masked_language_model(twins, shape, length):
    pair = twins("BertForMaskedLM", shape)
    tokens, mask, types = batch_of(length)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types).logits
    ours = pair.ours.logits(tokens, mask, token_types=types)
    assert error(ours[mask.bool()], theirs[mask.bool()]) <= LIMIT


def test_masked_language_model_gradients(twins, shape, relative_errors):
    pair = twins("BertForMaskedLM", shape)
    tokens, mask, types = batch_of(17)
    labels = predicted(tokens, mask)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types, labels=labels).loss
    check_gradients(pair.ours.loss(tokens, labels, mask, token_types=types), theirs, pair, relative_errors)


def test_pre_training_with_both_losses(twins, shape, relative_errors):
    pair = twins("BertForPreTraining", shape)
    tokens, mask, types = batch_of(17)
    labels, follows = predicted(tokens, mask), torch.tensor([0, 1, 1])
    theirs = pair.theirs(
        input_ids=tokens,
        attention_mask=mask,
        token_type_ids=types,
        labels=labels,
        next_sentence_label=follows,
    )
    states = pair.ours.states(tokens, mask, token_types=types)
    sentence = pair.ours.next_sentence_logits(states, mask)
    assert error(sentence, theirs.seq_relationship_logits) <= LIMIT
    ours = pair.ours.loss(tokens, labels, mask, token_types=types) + functional.cross_entropy(sentence, follows)
    check_gradients(ours, theirs.loss, pair, relative_errors)


def test_untied_output_table(twins, relative_errors):
    idle = "cls.predictions.bias"  # stored, but of an untied table transformers reads the bias of the table itself
    pair = twins("BertForMaskedLM", BERT | {"tie_word_embeddings": False}, still=[idle])
    tokens, mask, types = batch_of(9)
    labels = predicted(tokens, mask)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types, labels=labels)
    check_gradients(pair.ours.loss(tokens, labels, mask, token_types=types), theirs.loss, pair, relative_errors)


def test_states_and_pooled(twins, shape, relative_errors):
    pair = twins("BertModel", shape)
    tokens, mask, types = batch_of(13)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types)
    states = pair.ours.states(tokens, mask, token_types=types)
    pooled = pair.ours.pooled(states, mask)
    real = mask.bool()
    assert error(states[real], theirs.last_hidden_state[real]) <= LIMIT
    assert error(pooled, theirs.pooler_output) <= LIMIT
    theirs = theirs.last_hidden_state[real].square().sum() + theirs.pooler_output.sum()
    check_gradients(states[real].square().sum() + pooled.sum(), theirs, pair, relative_errors)


@pytest.mark.parametrize("class_name", ["BertForSequenceClassification", "BertForNextSentencePrediction"])
def test_labels_of_sequences(twins, class_name, relative_errors):
    labels = {} if class_name.endswith("Prediction") else {"num_labels": 4}
    pair = twins(class_name, BERT | labels)
    tokens, mask, types = batch_of(13)
    answers = torch.tensor([0, 1, 1])
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types, labels=answers)
    scores = pair.ours.labels(pair.ours.states(tokens, mask, token_types=types), mask)
    assert error(scores, theirs.logits) <= LIMIT
    check_gradients(functional.cross_entropy(scores, answers), theirs.loss, pair, relative_errors)


def test_labels_of_tokens(twins, relative_errors):
    pair = twins("BertForTokenClassification", BERT | {"num_labels": 5})
    tokens, mask, types = batch_of(13)
    answers = torch.randint(0, 5, tokens.shape).masked_fill(mask == 0, -100)
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types, labels=answers)
    scores = pair.ours.token_labels(pair.ours.states(tokens, mask, token_types=types))
    assert error(scores[mask.bool()], theirs.logits[mask.bool()]) <= LIMIT
    ours = functional.cross_entropy(scores.flatten(0, 1), answers.flatten())
    check_gradients(ours, theirs.loss, pair, relative_errors)


def test_where_an_answer_starts_and_ends(twins, relative_errors):
    pair = twins("BertForQuestionAnswering", BERT)
    tokens, mask, types = batch_of(13)
    starts, ends = torch.tensor([3, 2, 0]), torch.tensor([11, 4, 2])
    theirs = pair.theirs(input_ids=tokens, attention_mask=mask, token_type_ids=types)
    start, end = pair.ours.span(pair.ours.states(tokens, mask, token_types=types), mask)
    padding = mask == 0  # transformers would let it be an answer
    wanted = [s.masked_fill(padding, torch.finfo(s.dtype).min) for s in (theirs.start_logits, theirs.end_logits)]
    assert error(start[~padding], wanted[0][~padding]) <= LIMIT
    assert error(end[~padding], wanted[1][~padding]) <= LIMIT
    ours = functional.cross_entropy(start, starts) + functional.cross_entropy(end, ends)
    expected = functional.cross_entropy(wanted[0], starts) + functional.cross_entropy(wanted[1], ends)
    check_gradients(ours, expected, pair, relative_errors)
