"""What stands around a text, and how much of it is read."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tonne.describe.architecture import Architecture
from tonne.describe.data import Data
from tonne.describe.task import Task
from tonne.errors import DataError
from tonne.train.tasks.build import limits_of
from tonne.train.tasks.frame import end_token, frame_of
from tonne.train.tokenizer_training import train_tokenizer

SHAPE = {"width": 8, "heads": 2, "vocabulary": 32}
ENCODER = Architecture(kind="encoder", layers=1, positions="learned", max_positions=40, **SHAPE)
DECODER = Architecture(kind="decoder", layers=1, positions="rotary", max_positions=40, **SHAPE)
BOTH = Architecture(kind="encoder-decoder", encoder_layers=1, decoder_layers=1, positions="relative",
                    relative_buckets=8, **SHAPE)  # fmt: skip
WRITE, LABEL = Task(name="translation"), Task(name="classification")


@pytest.mark.parametrize(("task", "a", "data", "limits"), [
    (LABEL, ENCODER, {}, (40, 40)),  # all that there are positions for
    (LABEL, ENCODER, {"sequence_length": 16}, (16, 40)),
    (WRITE, BOTH, {}, (512, 128)),  # no bound: the usual
    (WRITE, BOTH, {"source_length": 20, "target_length": 10}, (20, 10)),
    (WRITE, BOTH, {"sequence_length": 20}, (20, 128)),
    (WRITE, DECODER, {}, (20, 20)),  # prompt and answer share the positions
    (WRITE, DECODER, {"sequence_length": 30, "target_length": 10}, (20, 10)),
])  # fmt: skip
def test_limits_follow_from_data_and_model(task, a, data, limits):
    found = limits_of(task, a, Data(tokens=1, **data))
    assert (found.source, found.target) == limits


def test_limits_of_the_task_come_first():
    task = Task(name="translation", max_source_length=7, max_target_length=6)
    found = limits_of(task, BOTH, Data(tokens=1, source_length=20, target_length=10))
    assert (found.source, found.target) == (7, 6)


def test_more_than_there_are_positions_is_refused():
    with pytest.raises(DataError, match="max_source_length = 41, but the model has positions for 40"):
        limits_of(Task(name="classification", max_source_length=41), ENCODER)
    with pytest.raises(DataError, match="prompt and answer = 41"):
        limits_of(Task(name="translation", max_source_length=30, max_target_length=12), DECODER)


def test_the_tokenizers_own_frame_is_taken():
    texts = ["the cat sat on the mat"] * 9
    bert = train_tokenizer(texts, kind="wordpiece", vocabulary=80, objective="masked-lm")
    s = bert.special
    found = frame_of(bert, "encoder")
    assert (found.before, found.between, found.after, found.second) == ((s.begin,), (s.separator,), (s.separator,), 1)
    t5 = train_tokenizer(texts, kind="bpe", vocabulary=380, objective="seq2seq")
    found = frame_of(t5, "encoder-decoder")
    assert (found.before, found.between, found.after) == ((), (t5.special.delimiter,), (t5.special.delimiter,))
    gpt = train_tokenizer(texts, kind="bpe", vocabulary=280, objective="causal-lm")
    found = frame_of(gpt, "decoder")
    assert (found.before, found.after, found.pair) == ((), (), 1)
    assert end_token(gpt) == gpt.special.delimiter


def test_an_encoder_needs_its_marks():
    gpt = train_tokenizer(["the cat"] * 9, kind="bpe", vocabulary=280, objective="causal-lm")
    with pytest.raises(DataError, match="begin, separator"):
        frame_of(gpt, "encoder")
