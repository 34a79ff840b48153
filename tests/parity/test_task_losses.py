"""Losses and gradients of tasks equal those of transformers' heads, on the batches that are made for training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tonne.describe.task import Task  # noqa: E402 - after the check that torch is there
from tonne.train.batch import Padding, collated  # noqa: E402
from tonne.train.labelled import Answer, Labelled  # noqa: E402
from tonne.train.tasks.build import form_of, reading_of  # noqa: E402
from tonne.train.tasks.losses import losses_of  # noqa: E402
from tonne.train.tokenizer_training import train_tokenizer  # noqa: E402

pytestmark = pytest.mark.slow  # transformers takes seconds to import

LIMIT = 1e-9  # the issue asks for 1e-6; transformers' casts to fp32 are lifted here
STORY = "the cat sat on a mat while one dog barked at some moon and rain fell over every field of that land"
WORDS = STORY.split()
LABELS = ("bad", "good", "odd")
BERT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 50,
    "max_position_embeddings": 48,
}
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 48}
T5 = {"d_model": 24, "d_kv": 5, "d_ff": 50, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4}
BART = {
    "d_model": 24,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 50,
    "decoder_ffn_dim": 50,
    "max_position_embeddings": 48,
    "decoder_start_token_id": 1,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
LLAMA = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 50,
    "max_position_embeddings": 48,
}


def sentences(number, least=2, most=9):
    draws = np.random.default_rng(7)
    return [" ".join(draws.choice(WORDS, draws.integers(least, most + 1))) for _ in range(number)]


@pytest.fixture(scope="module")
def tokenizers():
    texts = sentences(40)
    return {
        "encoder": train_tokenizer(texts, kind="wordpiece", vocabulary=160, objective="masked-lm"),
        "decoder": train_tokenizer(texts, kind="bpe", vocabulary=330, objective="causal-lm"),
        "encoder-decoder": train_tokenizer(texts, kind="unigram", vocabulary=200, objective="seq2seq"),
    }


def batch_for(pair, tokenizer, name, examples, *, labels=(), start=None, **fields):
    """The form, and its batch of some examples."""
    reading = reading_of(Task(name=name, **fields), pair.ours.architecture, tokenizer, labels=labels, start=start)
    form = form_of(reading)
    padding = Padding(token=tokenizer.special.pad or 0, causal=form.loss == "text")
    return form, collated([one.example for one in form.encoded(examples)], padding)


def check(pair, made, theirs, relative_errors, **more):
    """Loss and all gradients."""
    form, batch = made
    ours = losses_of(pair.ours, form.loss, **more).train()(batch)
    assert ours[0].item() == pytest.approx(theirs.item(), rel=LIMIT)
    assert ours[1].item() == 0
    ours.sum().backward()
    theirs.backward()
    found = relative_errors(pair)
    assert max(found.values()) <= 1e-7, max(found, key=found.get)


def single(number=5):
    return [Labelled(id=str(i), text=text, label=LABELS[i % 3]) for i, text in enumerate(sentences(number))]


def padding_mask(batch):
    return torch.ones_like(batch.tokens) if batch.mask is None else batch.mask


def test_bert_for_sequence_classification(twins, tokenizers, relative_errors):
    pair = twins("BertForSequenceClassification", BERT | {"vocab_size": 160, "num_labels": 3})
    form, batch = batch_for(pair, tokenizers["encoder"], "classification", single(), labels=LABELS)
    theirs = pair.theirs(
        input_ids=batch.tokens,
        attention_mask=batch.mask,
        token_type_ids=batch.token_types,
        labels=torch.tensor([0, 1, 2, 0, 1]),
    )
    check(pair, (form, batch), theirs.loss, relative_errors)


def test_weights_of_labels_and_smoothing_are_torchs(twins, tokenizers, relative_errors):
    pair = twins("BertForSequenceClassification", BERT | {"vocab_size": 160, "num_labels": 3})
    form, batch = batch_for(pair, tokenizers["encoder"], "classification", single(), labels=LABELS)
    scores = pair.theirs(input_ids=batch.tokens, attention_mask=batch.mask, token_type_ids=batch.token_types).logits
    weights = (0.5, 2.0, 1.0)
    theirs = torch.nn.functional.cross_entropy(
        scores, torch.tensor([0, 1, 2, 0, 1]), torch.tensor(weights).double(), label_smoothing=0.1
    )
    check(pair, (form, batch), theirs, relative_errors, weights=weights, label_smoothing=0.1)


def test_bert_for_pairs(twins, tokenizers, relative_errors):
    pair = twins("BertForSequenceClassification", BERT | {"vocab_size": 160, "num_labels": 3})
    texts = sentences(10)
    examples = [Labelled(id=str(i), first=texts[2 * i], second=texts[2 * i + 1], label=LABELS[i % 3]) for i in range(5)]
    form, batch = batch_for(pair, tokenizers["encoder"], "pair-classification", examples, labels=LABELS)
    assert int(batch.token_types.sum()) > 0
    theirs = pair.theirs(
        input_ids=batch.tokens,
        attention_mask=batch.mask,
        token_type_ids=batch.token_types,
        labels=torch.tensor([0, 1, 2, 0, 1]),
    )
    check(pair, (form, batch), theirs.loss, relative_errors)


@pytest.mark.parametrize(("class_name", "shape", "kind"), [
    ("BertForTokenClassification", BERT | {"vocab_size": 160}, "encoder"),
    ("GPT2ForTokenClassification", GPT2 | {"vocab_size": 330}, "decoder"),
])  # fmt: skip
def test_token_classification(twins, tokenizers, relative_errors, class_name, shape, kind):
    pair = twins(class_name, shape | {"num_labels": 3})
    words = [text.split() for text in sentences(4)]
    examples = [
        Labelled(id=str(i), tokens=tuple(each), labels=tuple(LABELS[len(word) % 3] for word in each))
        for i, each in enumerate(words)
    ]
    form, batch = batch_for(pair, tokenizers[kind], "token-classification", examples, labels=LABELS)
    assert batch.predicted == sum(len(each) for each in words)
    theirs = pair.theirs(input_ids=batch.tokens, attention_mask=batch.mask, labels=batch.targets)
    check(pair, (form, batch), theirs.loss, relative_errors)


def questions(*, alike):
    """Of one length each where they are alike; the answer is two words."""
    contexts = [" ".join(WORDS[start : start + (8 if alike else 5 + start)]) for start in range(4)]
    return [
        Labelled(
            id=str(i),
            question=" ".join(WORDS[i : i + 2]),
            context=context,
            answers=(Answer(" ".join(context.split()[2:4]), context.index(context.split()[2])),),
        )
        for i, context in enumerate(contexts)
    ]


@pytest.mark.parametrize("alike", [True, False])
def test_bert_for_question_answering(twins, tokenizers, relative_errors, alike):
    pair = twins("BertForQuestionAnswering", BERT | {"vocab_size": 160})
    form, batch = batch_for(pair, tokenizers["encoder"], "question-answering", questions(alike=alike))
    starts, ends = batch.spans.unbind(1)
    assert (starts > 0).all()
    assert (ends >= starts).all()
    found = pair.theirs(
        input_ids=batch.tokens,
        attention_mask=batch.mask,
        token_type_ids=batch.token_types,
        start_positions=starts,
        end_positions=ends,
    )
    if batch.mask is None:
        theirs = found.loss
    else:  # transformers lets an answer end in the padding, so that its loss depends on what else is in the batch
        real = batch.mask.bool()
        scores = [part.masked_fill(~real, -1e30) for part in (found.start_logits, found.end_logits)]
        theirs = (
            sum(torch.nn.functional.cross_entropy(part, to) for part, to in zip(scores, (starts, ends), strict=True))
            / 2
        )
    check(pair, (form, batch), theirs, relative_errors)


@pytest.mark.parametrize(("class_name", "shape"), [
    ("GPT2ForSequenceClassification", GPT2 | {"vocab_size": 331, "pad_token_id": 330}),
    ("LlamaForSequenceClassification", LLAMA | {"vocab_size": 331, "pad_token_id": 330}),
])  # fmt: skip
def test_classification_by_a_decoder(twins, tokenizers, relative_errors, class_name, shape):
    pair = twins(class_name, shape | {"num_labels": 3})
    form, batch = batch_for(pair, tokenizers["decoder"], "classification", single(), labels=LABELS)
    tokens = batch.tokens.masked_fill(padding_mask(batch) == 0, 330)  # their class looks for the first padding
    theirs = pair.theirs(input_ids=tokens, attention_mask=batch.mask, labels=torch.tensor([0, 1, 2, 0, 1]))
    check(pair, (form, batch), theirs.loss, relative_errors)


def pairs_of_texts(role, to, number=5):
    texts = sentences(2 * number)
    return [Labelled(id=str(i), **{role: texts[2 * i], to: texts[2 * i + 1]}) for i in range(number)]


@pytest.mark.parametrize("name", ["translation", "summarisation"])
def test_t5_for_conditional_generation(twins, tokenizers, relative_errors, name):
    tokenizer = tokenizers["encoder-decoder"]
    pair = twins("T5ForConditionalGeneration", T5 | {"vocab_size": 200, "decoder_start_token_id": 0, "pad_token_id": 0})
    form, batch = batch_for(pair, tokenizer, name, pairs_of_texts("source", "target"), source_prefix="say: ")
    assert batch.tokens[:, 0].tolist() == [tokenizer.special.pad] * 5  # what T5's decoder begins with
    assert (batch.targets[batch.targets >= 0] == tokenizer.special.delimiter).sum() == 5
    theirs = pair.theirs(input_ids=batch.source, attention_mask=batch.source_mask, labels=batch.targets)
    check(pair, (form, batch), theirs.loss, relative_errors)


def test_bart_for_conditional_generation(twins, tokenizers, relative_errors):
    tokenizer = tokenizers["encoder-decoder"]
    end = tokenizer.special.delimiter
    pair = twins("BartForConditionalGeneration", BART | {"vocab_size": 200, "decoder_start_token_id": end})
    form, batch = batch_for(pair, tokenizer, "translation", pairs_of_texts("source", "target"), start=end)
    theirs = pair.theirs(input_ids=batch.source, attention_mask=batch.source_mask, labels=batch.targets)
    check(pair, (form, batch), theirs.loss, relative_errors)


@pytest.mark.parametrize("model", [("GPT2LMHeadModel", GPT2), ("LlamaForCausalLM", LLAMA)])
@pytest.mark.parametrize("task", [("instruction", "prompt", "answer"), ("translation", "source", "target")])
def test_decoders_learn_the_answer_alone(twins, tokenizers, relative_errors, model, task):
    (class_name, shape), (name, role, to) = model, task
    tokenizer = tokenizers["decoder"]
    pair = twins(class_name, shape | {"vocab_size": 330})
    examples = pairs_of_texts(role, to)
    form, batch = batch_for(pair, tokenizer, name, examples, prompt=f"in: {{{role}}} out:")
    # transformers shifts by itself: its labels are the tokens, -100 where the prompt or the padding is
    rows = []
    for example in examples:
        prompt = tokenizer.encode([f"in: {getattr(example, role)} out:"])[0].tolist()
        answer = [*tokenizer.encode([getattr(example, to)])[0].tolist(), tokenizer.special.delimiter]
        rows.append((prompt + answer, [-100] * len(prompt) + answer))
    width = max(len(tokens) for tokens, _ in rows)
    ids = torch.tensor([tokens + [0] * (width - len(tokens)) for tokens, _ in rows])
    labels = torch.tensor([to + [-100] * (width - len(to)) for _, to in rows])
    mask = torch.tensor([[1] * len(tokens) + [0] * (width - len(tokens)) for tokens, _ in rows])
    theirs = pair.theirs(input_ids=ids, attention_mask=mask, labels=labels)
    check(pair, (form, batch), theirs.loss, relative_errors)


def as_transformers_reads(tokenizer, folder):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_windows_are_those_of_transformers_tokenizers(twins, tokenizers, tmp_path):
    pair = twins("BertForQuestionAnswering", BERT | {"vocab_size": 160})
    theirs = as_transformers_reads(tokenizers["encoder"], tmp_path / "tokenizer")
    context, question = " ".join(WORDS * 4), "the cat"
    example = Labelled(id="1", question=question, context=context, answers=(Answer("moon", context.index("moon")),))
    task = Task(name="question-answering", stride=7, max_source_length=24)
    reading = reading_of(task, pair.ours.architecture, tokenizers["encoder"])
    ours = form_of(reading).encoded([example])
    found = theirs(
        question, context, truncation="only_second", max_length=24, stride=7, return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )  # fmt: skip
    assert [one.example.tokens.tolist() for one in ours] == found["input_ids"]
    assert [one.example.token_types.tolist() for one in ours] == found["token_type_ids"]
    for number, one in enumerate(ours):
        spans = [
            span if kind == 1 else (-1, -1)
            for span, kind in zip(found["offset_mapping"][number], found.sequence_ids(number), strict=True)
        ]
        assert one.offsets.tolist() == [list(span) for span in spans]


@pytest.mark.parametrize("lengths", [(3, 4), (3, 20), (20, 3), (20, 20), (20, 19), (19, 20), (9, 20)])
def test_pairs_are_cut_as_transformers_tokenizers_cut_them(twins, tokenizers, tmp_path, lengths):
    pair = twins("BertForSequenceClassification", BERT | {"vocab_size": 160})
    theirs = as_transformers_reads(tokenizers["encoder"], tmp_path / "tokenizer")
    first, second = (" ".join((WORDS * 2)[:length]) for length in lengths)
    task = Task(name="pair-classification", max_source_length=22)
    reading = reading_of(task, pair.ours.architecture, tokenizers["encoder"], labels=LABELS)
    (ours,) = form_of(reading).encoded([Labelled(id="1", first=first, second=second, label="bad")])
    assert ours.example.tokens.tolist() == theirs(first, second, truncation=True, max_length=22)["input_ids"]
