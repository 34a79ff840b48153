"""Predictions equal those of transformers' classes, asked one example at a time and without padding."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

import torch
import transformers

from tonne.describe.task import Task
from tonne.errors import DescriptionError
from tonne.model import from_huggingface
from tonne.model.dispatch import Counting
from tonne.train.labelled import Answer, Labelled
from tonne.train.predictions import Options, predict, predicted
from tonne.train.predictions.passes import fill
from tonne.train.tasks.build import reading_of
from tonne.train.tokenizer_training import train_tokenizer

pytestmark = pytest.mark.slow  # transformers takes seconds to import

transformers.logging.set_verbosity_error()
STORY = "the cat sat on a mat while one dog barked at some moon and rain fell over every field of that land"
WORDS = STORY.split()
SMALL = {"initializer_range": 1.0}  # so large that scores differ clearly


def sentence(draws, least, most):
    return " ".join(draws.choice(WORDS, draws.integers(least, most + 1)))


@pytest.fixture(scope="module")
def texts():
    draws = np.random.default_rng(1)
    return [sentence(draws, 1, 14) for _ in range(23)]


@pytest.fixture(scope="module")
def tokenizers(texts):
    return {
        objective: train_tokenizer(texts, kind=kind, vocabulary=380, objective=objective)
        for objective, kind in (("masked-lm", "wordpiece"), ("seq2seq", "bpe"), ("causal-lm", "bpe"))
    }


@pytest.fixture
def both(tmp_path):
    """A class of transformers with random weights, and our model of the same folder."""

    def made(class_name, config):
        torch.manual_seed(3)
        theirs = getattr(transformers, class_name)(config).eval().double()
        with torch.no_grad():  # biases and norms too, which are zero and one at the start
            for parameter in theirs.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        theirs.save_pretrained(tmp_path)
        return theirs, from_huggingface(tmp_path, dtype=torch.float64)

    return made


def bert(tokenizer, **more):
    return transformers.BertConfig(
        vocab_size=tokenizer.vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, **SMALL, **more,
    )  # fmt: skip


def framed(tokenizer, *texts):
    """[CLS] text [SEP] (text [SEP]), written out."""
    special = tokenizer.special
    ids, types = [special.begin], [0]
    for number, text in enumerate(texts):
        own = [*tokenizer.encode([text])[0].tolist(), special.separator]
        ids, types = ids + own, types + [number] * len(own)
    return {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([types])}


@pytest.mark.parametrize("size", [1, 5, 64])
def test_labels_of_texts_are_those_of_bert(both, tokenizers, texts, size):
    tokenizer, labels = tokenizers["masked-lm"], ("no", "yes", "maybe")
    theirs, ours = both("BertForSequenceClassification", bert(tokenizer, num_labels=3))
    examples = [Labelled(id=str(number), text=text) for number, text in enumerate(texts)]
    found = predict(
        ours, tokenizer, Task(name="classification"), examples, labels=labels, options=Options(batch_sequences=size)
    )
    with torch.no_grad():
        wanted = [labels[int(theirs(**framed(tokenizer, text)).logits.argmax())] for text in texts]
    assert found == wanted
    assert len(set(found)) > 1


def test_labels_of_pairs_are_those_of_bert(both, tokenizers, texts):
    tokenizer, labels = tokenizers["masked-lm"], ("no", "yes")
    theirs, ours = both("BertForSequenceClassification", bert(tokenizer, num_labels=2))
    pairs = list(zip(texts, reversed(texts), strict=True))
    examples = [Labelled(id=str(number), first=one, second=two) for number, (one, two) in enumerate(pairs)]
    found = predict(ours, tokenizer, Task(name="pair-classification", labels=labels), examples)
    with torch.no_grad():
        wanted = [labels[int(theirs(**framed(tokenizer, *pair)).logits.argmax())] for pair in pairs]
    assert found == wanted
    assert len(set(found)) > 1


def test_labels_of_texts_are_those_of_gpt2(both, tokenizers, texts):
    tokenizer, labels = tokenizers["causal-lm"], ("no", "yes", "maybe")
    config = transformers.GPT2Config(
        vocab_size=tokenizer.vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=3, pad_token_id=0,
        **SMALL,
    )  # fmt: skip
    theirs, ours = both("GPT2ForSequenceClassification", config)
    examples = [Labelled(id=str(number), text=text) for number, text in enumerate(texts)]
    found = predict(ours, tokenizer, Task(name="classification"), examples, labels=labels)
    with torch.no_grad():
        inputs = [torch.tensor([tokenizer.encode([text])[0].tolist()]) for text in texts]
        wanted = [labels[int(theirs(input_ids=ids).logits.argmax())] for ids in inputs]
    assert found == wanted
    assert len(set(found)) > 1


def test_labels_of_words_are_those_of_bert_at_their_first_token(both, tokenizers, texts):
    tokenizer, labels = tokenizers["masked-lm"], ("O", "B-X", "I-X")
    theirs, ours = both("BertForTokenClassification", bert(tokenizer, num_labels=3))
    examples = [Labelled(id=str(number), tokens=tuple(text.split())) for number, text in enumerate(texts)]
    found = predict(ours, tokenizer, Task(name="token-classification"), examples, labels=labels)
    for example, own in zip(examples, found, strict=True):
        pieces = [tokenizer.encode([word])[0].tolist() for word in example.tokens]
        firsts = np.cumsum([1, *(len(piece) for piece in pieces[:-1])])
        with torch.no_grad():
            scores = theirs(**framed(tokenizer, " ".join(example.tokens))).logits[0]
        assert own == tuple(labels[int(scores[place].argmax())] for place in firsts)


def test_long_sentences_are_read_in_parts_and_every_word_gets_a_label(both, tokenizers, texts):
    tokenizer, labels = tokenizers["masked-lm"], ("O", "B-X", "I-X")
    _, ours = both("BertForTokenClassification", bert(tokenizer, num_labels=3))
    words = tuple(WORDS * 3)
    task = Task(name="token-classification", max_source_length=24)
    (found,) = predict(ours, tokenizer, task, [Labelled(id="0", tokens=words)], labels=labels)
    halves = [
        predict(ours, tokenizer, task, [Labelled(id="0", tokens=part)], labels=labels)[0]
        for part in (words[:33], words[33:])
    ]
    assert found == halves[0] + halves[1]
    assert len(found) == 66


def best_span(start, end, first, last, longest):
    """The best pair of places, tried one by one."""
    pairs = [
        (float(start[i] + end[j]), i, j) for i in range(first, last) for j in range(i, min(i + longest, last))
    ]  # fmt: skip
    return max(pairs)


def test_answers_are_the_best_spans_of_bert(both, tokenizers, texts):
    tokenizer = tokenizers["masked-lm"]
    theirs, ours = both("BertForQuestionAnswering", bert(tokenizer))
    pairs = [(question, context) for question, context in zip(texts, reversed(texts), strict=True)]
    examples = [
        Labelled(id=str(number), question=one, context=two, answers=(Answer("cat", None),))
        for number, (one, two) in enumerate(pairs)
    ]
    task = Task(name="question-answering", max_answer_length=4)
    found = predict(ours, tokenizer, task, examples)
    nowhere = predict(ours, tokenizer, task, examples, options=Options(may_be_none=True))
    empty = 0
    for (question, context), own, maybe in zip(pairs, found, nowhere, strict=True):
        inputs = framed(tokenizer, question, context)
        with torch.no_grad():
            out = theirs(**inputs)
        start, end = out.start_logits[0], out.end_logits[0]
        first = 2 + len(tokenizer.encode([question])[0])
        score, i, j = best_span(start, end, first, inputs["input_ids"].shape[1] - 1, 4)
        offsets = tokenizer.inner.encode(context, add_special_tokens=False).offsets
        wanted = context[offsets[i - first][0] : offsets[j - first][1]]
        assert own == wanted
        assert maybe == ("" if score <= float(start[0] + end[0]) else wanted)
        empty += maybe == ""
    assert 0 < empty < len(pairs)


def test_a_long_context_is_searched_in_windows_and_the_best_of_all_counts(both, tokenizers):
    tokenizer = tokenizers["masked-lm"]
    theirs, ours = both("BertForQuestionAnswering", bert(tokenizer))
    context, question = " ".join(WORDS * 3), "the cat"
    ids, asked = (tokenizer.encode([text])[0].tolist() for text in (context, question))
    room = 40 - 3 - len(asked)
    task = Task(name="question-answering", max_source_length=40, stride=10, max_answer_length=5)
    example = Labelled(id="0", question=question, context=context, answers=(Answer("x", None),))
    (found,) = predict(ours, tokenizer, task, [example])
    special, best = tokenizer.special, []
    for begin in range(0, len(ids) - 10, room - 10):
        part = ids[begin : begin + room]
        row = [special.begin, *asked, special.separator, *part, special.separator]
        first = 2 + len(asked)
        types = [0] * first + [1] * (len(part) + 1)
        with torch.no_grad():
            out = theirs(input_ids=torch.tensor([row]), token_type_ids=torch.tensor([types]))
        score, i, j = best_span(out.start_logits[0], out.end_logits[0], first, first + len(part), 5)
        best.append((score, begin + i - first, begin + j - first))
    _, i, j = max(best)
    offsets = tokenizer.inner.encode(context, add_special_tokens=False).offsets
    assert len(best) == 3
    assert found == context[offsets[i][0] : offsets[j][1]]


def t5(tokenizer):
    return transformers.T5Config(
        vocab_size=tokenizer.vocabulary, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        pad_token_id=tokenizer.special.pad, eos_token_id=tokenizer.special.delimiter,
        decoder_start_token_id=tokenizer.special.pad, dropout_rate=0.0, initializer_factor=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("beams", [1, 3])
def test_translations_are_those_of_t5(both, tokenizers, texts, beams):
    tokenizer = tokenizers["seq2seq"]
    theirs, ours = both("T5ForConditionalGeneration", t5(tokenizer))
    task = Task(name="translation", source_prefix="say: ", max_target_length=12, beams=beams)
    found = predict(ours, tokenizer, task, [Labelled(id=text, source=text) for text in texts])
    end, wanted = tokenizer.special.delimiter, []
    for text in texts:
        ids = torch.tensor([[*tokenizer.encode(["say: " + text])[0].tolist(), end]])
        made = theirs.generate(ids, max_new_tokens=12, num_beams=beams, do_sample=False)[0, 1:].tolist()
        kept = made[: made.index(end)] if end in made else made
        wanted.append(tokenizer.decode(kept).strip())
    assert found == wanted
    assert len(set(found)) > 3


def gpt2(tokenizer):
    return transformers.GPT2Config(
        vocab_size=tokenizer.vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=64,
        bos_token_id=0, eos_token_id=tokenizer.special.delimiter, pad_token_id=tokenizer.special.delimiter, **SMALL,
    )  # fmt: skip


def test_answers_to_instructions_are_those_of_gpt2(both, tokenizers, texts):
    tokenizer = tokenizers["causal-lm"]
    theirs, ours = both("GPT2LMHeadModel", gpt2(tokenizer))
    task = Task(name="instruction", prompt="Q: {prompt} A:", max_source_length=48, max_target_length=9)
    found = predict(ours, tokenizer, task, [Labelled(id=text, prompt=text) for text in texts])
    end, wanted = tokenizer.special.delimiter, []
    for text in texts:
        ids = torch.tensor([tokenizer.encode([f"Q: {text} A:"])[0].tolist()])
        made = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, do_sample=False)
        new = made[0, ids.shape[1] :].tolist()
        wanted.append(tokenizer.decode(new[: new.index(end)] if end in new else new).strip())
    assert found == wanted


def test_likelihoods_are_the_losses_of_gpt2(both, tokenizers, texts):
    tokenizer = tokenizers["causal-lm"]
    theirs, ours = both("GPT2LMHeadModel", gpt2(tokenizer))
    found = predict(ours, tokenizer, Task(name="continued"), [Labelled(id=text, text=text) for text in texts])
    for text, own in zip(texts, found, strict=True):
        ids = torch.tensor([[tokenizer.special.delimiter, *tokenizer.encode([text])[0].tolist()]])
        with torch.no_grad():
            loss = float(theirs(input_ids=ids, labels=ids).loss)
        assert own.tokens == ids.shape[1] - 1
        assert own.bytes == len(text)
        assert own.nats == pytest.approx(loss * own.tokens, rel=1e-5)


@pytest.mark.parametrize("stride", [0, 5])
def test_each_token_of_a_long_text_is_predicted_once(both, tokenizers, stride):
    tokenizer = tokenizers["causal-lm"]
    theirs, ours = both("GPT2LMHeadModel", gpt2(tokenizer))
    text = " ".join(WORDS * 2)
    ids = [tokenizer.special.delimiter, *tokenizer.encode([text])[0].tolist()]
    task = Task(name="continued", max_source_length=16, stride=stride)
    (found,) = predict(ours, tokenizer, task, [Labelled(id="0", text=text)])
    nats, asked, start = 0.0, 1, 0
    while asked < len(ids):  # a window at a time: what was asked before is context
        window = torch.tensor([ids[start : start + 17]])
        with torch.no_grad():
            scores = theirs(input_ids=window[:, :16]).logits[0].log_softmax(-1)
        for place in range(asked - start - 1, window.shape[1] - 1):
            nats -= float(scores[place, window[0, place + 1]])
        asked = start + window.shape[1]
        start = asked - 1 - stride
    assert found.tokens == len(ids) - 1
    assert found.nats == pytest.approx(nats, rel=1e-6)
    assert math.isfinite(nats)


def test_counted_flop_are_those_that_torch_executes(both, tokenizers, texts):
    tokenizer = tokenizers["masked-lm"]
    _, ours = both("BertForSequenceClassification", bert(tokenizer, num_labels=3))
    reading = reading_of(Task(name="classification"), ours.architecture, tokenizer, labels=("a", "b", "c"))
    examples = [Labelled(id=text, text=text) for text in texts]
    counting = Counting(None)
    with counting:
        found = predicted(ours, reading, examples, Options(batch_sequences=4))
    executed = sum(one.executed_flop(ours.architecture) for one in found.passes)
    assert executed == sum(counting.passes.values())
    assert sum(one.model_flop(ours.architecture) for one in found.passes) < executed
    lengths = [len(tokenizer.encode([text])[0]) + 2 for text in texts]
    ordered = sorted(lengths, reverse=True)
    padded = sum(ordered[start] * len(ordered[start : start + 4]) for start in range(0, len(ordered), 4))
    assert fill(found.passes) == pytest.approx(sum(lengths) / padded)


def test_flop_of_writing_are_those_that_torch_executes(both, tokenizers, texts):
    tokenizer = tokenizers["seq2seq"]
    _, ours = both("T5ForConditionalGeneration", t5(tokenizer))
    task = Task(name="translation", max_target_length=6)
    reading = reading_of(task, ours.architecture, tokenizer)
    counting = Counting(None)
    with counting:
        found = predicted(ours, reading, [Labelled(id=text, source=text) for text in texts], Options(batch_sequences=8))
    executed = sum(one.executed_flop(ours.architecture) for one in found.passes)
    assert executed == sum(counting.passes.values())


def test_a_model_without_the_head_or_with_another_one_is_refused(both, tokenizers):
    tokenizer = tokenizers["masked-lm"]
    _, ours = both("BertForSequenceClassification", bert(tokenizer, num_labels=3))
    example = [Labelled(id="0", text="the cat")]
    with pytest.raises(DescriptionError, match=r"head has 3 labels, but classification was given 2: a, b"):
        predict(ours, tokenizer, Task(name="classification", labels=("a", "b")), example)
    _, ours = both("BertForMaskedLM", bert(tokenizer))
    with pytest.raises(DescriptionError, match=r"classification needs a head for labels, which this model has not"):
        predict(ours, tokenizer, Task(name="classification", labels=("a", "b")), example)
    with pytest.raises(DescriptionError, match=r"kind 'encoder' gives no probability of a text"):
        predict(ours, tokenizer, Task(name="continued"), example)
