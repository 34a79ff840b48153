"""What a model reads of an example, token by token, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from tonne.errors import DataError
from tonne.train.labelled import Answer, Labelled
from tonne.train.tasks.answers import span_of
from tonne.train.tasks.build import form_of
from tonne.train.tasks.pairs import longest_first

NOTHING = -100


def one(reading, **fields):
    """The one sequence of one example."""
    (found,) = form_of(reading).encoded([Labelled(id="1", where="a.jsonl:1", **fields)])
    return found


def test_an_encoder_reads_a_text_between_its_marks(reading, ids):
    found = one(reading("encoder", name="classification", labels=("a", "b")), text="the cat sat", label="b")
    assert found.example.tokens.tolist() == ids("[CLS] the cat sat [SEP]")
    assert found.example.token_types.tolist() == [0] * 5
    assert (found.example.label, found.example.weight, found.cut) == (1, None, 0)


def test_a_long_text_loses_its_end(reading, ids):
    found = one(reading("encoder", name="classification", labels=("a", "b"), max_source_length=5),
                text="the cat sat the dog ran", label="a")  # fmt: skip
    assert found.example.tokens.tolist() == ids("[CLS] the cat sat [SEP]")
    assert found.cut == 3


def test_what_a_label_counts(reading):
    found = one(reading("encoder", name="classification", labels=("a", "b"), weights=(3.0, 0.5)), text="cat", label="b")
    assert found.example.weight == 0.5


def test_a_decoder_reads_a_text_alone(reading, ids):
    found = one(reading("decoder", name="classification", labels=("a", "b")), text="the cat", label="a")
    assert found.example.tokens.tolist() == ids("the cat")
    assert found.example.token_types is None


def test_an_empty_text_has_no_state_that_could_stand_for_it(reading):
    with pytest.raises(DataError, match=r"a\.jsonl:1: the text is empty"):
        one(reading("decoder", name="classification", labels=("a", "b")), text=" ", label="a")


def test_an_encoder_decoder_reads_a_text_twice(reading, ids):
    found = one(reading("encoder-decoder", name="classification", labels=("a", "b")), text="the cat", label="a")
    assert found.example.source.tolist() == ids("the cat </s>")
    assert found.example.tokens.tolist() == ids("<pad> the cat")


def test_two_texts_and_their_types(reading, ids):
    found = one(reading("encoder", name="pair-classification", labels=("a", "b")),
                first="the cat", second="one dog ran", label="a")  # fmt: skip
    assert found.example.tokens.tolist() == ids("[CLS] the cat [SEP] one dog ran [SEP]")
    assert found.example.token_types.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(("first", "second", "room", "kept"), [
    (3, 4, 7, (3, 4)),  # both fit
    (3, 9, 7, (3, 4)),  # the longer one gives
    (9, 2, 7, (5, 2)),
    (9, 9, 7, (3, 4)),  # as long: half each, the second has the odd one
        (9, 8, 7, (4, 3)),  # the longer one has it
    (5, 9, 8, (4, 4)),
    (4, 9, 8, (4, 4)),
    (0, 9, 4, (0, 4)),
])  # fmt: skip
def test_the_longer_text_is_cut_first(first, second, room, kept):
    parts = longest_first(np.arange(first, dtype=np.uint32), np.arange(second, dtype=np.uint32), room)
    assert tuple(len(part) for part in parts) == kept


def test_a_words_first_token_is_asked_for_its_label(reading, ids):
    # "cat:" is two tokens of one word
    found = one(reading("encoder", name="token-classification", labels=("N", "O")),
                tokens=("the", "cat:", "sat"), labels=("O", "N", "O"))  # fmt: skip
    assert found.example.tokens.tolist() == ids("[CLS] the cat : sat [SEP]")
    assert found.example.targets.tolist() == [NOTHING, 1, 0, NOTHING, 1, NOTHING]
    assert found.words.tolist() == [-1, 0, 1, -1, 2, -1]


def test_weights_of_words_are_summed(reading):
    found = one(reading("encoder", name="token-classification", labels=("N", "O"), weights=(4.0, 0.5)),
                tokens=("the", "cat", "sat"), labels=("O", "N", "O"))  # fmt: skip
    assert found.example.weight == 4.0 + 0.5 + 0.5


def test_words_and_labels_must_be_as_many(reading):
    with pytest.raises(DataError, match="2 tokens have 1 labels"):
        one(reading("encoder", name="token-classification", labels=("N", "O")), tokens=("a", "b"), labels=("O",))


def test_an_answer_is_found_at_its_tokens(reading, ids):
    context = "the red cat sat"
    found = one(reading("encoder", name="question-answering"),
                question="the cat", context=context, answers=(Answer("red cat", 4),))  # fmt: skip
    assert found.example.tokens.tolist() == ids("[CLS] the cat [SEP] the red cat sat [SEP]")
    assert found.example.span == (5, 6)
    assert found.offsets.tolist() == [[-1, -1]] * 4 + [[0, 3], [4, 7], [8, 11], [12, 15]] + [[-1, -1]]


def test_windows_share_the_stride(reading, ids):
    # 12 positions - 3 marks - 1 token of the question = 8 of context; they share 3: windows begin at 0 and 5
    context = "one two six ten one two six ten one two six"
    task = {"name": "question-answering", "stride": 3}
    form = form_of(reading("encoder", **task))
    answer = Answer("ten one two", context.index("ten", 20))  # tokens 7, 8, 9
    windows = form.encoded([Labelled(id="1", question="say", context=context, answers=(answer,))])
    assert [w.example.tokens[3:-1].tolist() for w in windows] == [
        ids("one two six ten one two six ten"), ids("two six ten one two six")
    ]  # fmt: skip
    assert [w.example.span for w in windows] == [(0, 0), (3 + 2, 3 + 4)]  # the first does not hold all of it
    assert [w.owner for w in windows] == [0, 0]


def test_a_long_context_without_stride_is_refused_with_the_option_named(reading):
    context = "one two six ten " * 4
    with pytest.raises(DataError, match=r"16 tokens, and there is room for 8 .* Give \[task\] stride, e.g. 2"):
        one(reading("encoder", name="question-answering"), question="say", context=context)


def test_a_stride_as_long_as_the_window_never_gets_on(reading):
    context = "one two six ten " * 4
    with pytest.raises(DataError, match="they would never get on"):
        one(reading("encoder", name="question-answering", stride=8), question="say", context=context)


@pytest.mark.parametrize(("answer", "span"), [
    (Answer("b", 2), (1, 1)),
    (Answer("a b", 0), (0, 1)),
    (Answer(" b ", 1), (1, 1)),  # spaces around it belong to no token
    (Answer("b c", 2), (0, 0)),  # the window ends before it does
    (Answer("b", None), (0, 0)),
    (None, (0, 0)),
])  # fmt: skip
def test_spans_of_answers(answer, span):
    assert span_of(np.array([[0, 1], [2, 3], [-1, -1]]), answer) == span


def test_an_encoder_decoder_writes_the_target_and_its_end(reading, ids):
    found = one(reading("encoder-decoder", name="translation", source_prefix="say : ", target_prefix="the "),
                source="one cat", target="six dog")  # fmt: skip
    assert found.example.source.tolist() == ids("say : one cat </s>")
    assert found.example.tokens.tolist() == ids("<pad> the six dog")
    assert found.example.targets.tolist() == ids("the six dog </s>")


def test_a_target_that_is_cut_still_ends(reading, ids):
    found = one(reading("encoder-decoder", name="summarisation", max_source_length=4, max_target_length=3),
                source="one two six ten", target="ten cat dog")  # fmt: skip
    assert found.example.source.tolist() == ids("one two six </s>")
    assert found.example.targets.tolist() == ids("ten cat </s>")
    assert found.cut == 1 + 1


def test_a_decoder_learns_the_answer_alone(reading, ids):
    found = one(reading("decoder", name="translation", prompt="say {source} :"), source="one cat", target="six")
    assert found.example.tokens.tolist() == ids("say one cat : six")
    assert found.example.targets.tolist() == [NOTHING] * 3 + ids("six </s>")


def test_a_prompt_keeps_its_frame_and_loses_of_its_input(reading, ids):
    found = one(reading("decoder", name="instruction", prompt="say {prompt} :", max_source_length=4),
                prompt="one two six ten", answer="cat")  # fmt: skip
    assert found.example.tokens.tolist() == ids("say one two : cat")
    assert found.cut == 2


def test_without_a_template_the_input_stands_alone(reading, ids):
    found = one(reading("decoder", name="instruction", source_prefix="say ", target_prefix=": "),
                prompt="one", answer="two")  # fmt: skip
    assert found.example.tokens.tolist() == ids("say one : two")
