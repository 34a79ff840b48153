"""What stands for a whole text: the first, last, mean or most of its real tokens' states."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402 - after the check that torch is there

from tonne.count.parameters import parameter_parts  # noqa: E402
from tonne.describe.architecture import Architecture, TaskHead  # noqa: E402
from tonne.describe.heads import with_head  # noqa: E402
from tonne.describe.task import Task  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.heads import sequence_state  # noqa: E402

STATES = torch.tensor([[[1.0, 9.0], [3.0, 1.0], [8.0, 8.0]], [[2.0, -4.0], [4.0, -2.0], [9.0, -9.0]]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])
DECODER = Architecture(kind="decoder", layers=2, width=16, heads=2, vocabulary=30, positions="rotary")
ENCODER = Architecture(kind="encoder", layers=2, width=16, heads=2, vocabulary=30, positions="learned", max_positions=8)


@pytest.mark.parametrize(("pooling", "wanted"), [
    ("first", [[1.0, 9.0], [2.0, -4.0]]),
    ("last", [[8.0, 8.0], [4.0, -2.0]]),
    ("mean", [[4.0, 6.0], [3.0, -3.0]]),  # (1 + 3 + 8) / 3, (9 + 1 + 8) / 3; (2 + 4) / 2, (-4 - 2) / 2
    ("max", [[8.0, 9.0], [4.0, -2.0]]),
])  # fmt: skip
def test_padding_has_no_part_in_what_stands_for_a_text(pooling, wanted):
    torch.testing.assert_close(sequence_state(STATES, MASK, pooling), torch.tensor(wanted))
    torch.testing.assert_close(sequence_state(STATES, None, pooling)[0], torch.tensor(wanted[0]))


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("a", [DECODER, ENCODER], ids=["decoder", "encoder"])
def test_labels_are_told_from_what_the_head_pools(a, pooling):
    headed = with_head(a, "classification", 3, pooling)
    assert headed.task_head.pooling == pooling
    assert not headed.pooler
    torch.manual_seed(0)
    model = Transformer(headed).eval()
    assert sum(p.numel() for p in model.parameters()) == sum(parameter_parts(headed).values())
    tokens, mask = torch.arange(12).reshape(2, 6), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    states = model.states(tokens, mask)
    kept = [states[0], states[1, :4]]
    stands = torch.stack([one.mean(0) if pooling == "mean" else one.amax(0) for one in kept])
    wanted = stands @ model.task.output.weight.T
    wanted = wanted if model.task.output.bias is None else wanted + model.task.output.bias
    torch.testing.assert_close(model.labels(states, mask), wanted)


def test_what_is_left_out_is_as_transformers_has_it():
    assert with_head(ENCODER, "classification", 3).pooler
    assert TaskHead(labels=3).pooling is None


def test_pooling_is_of_whole_texts_alone():
    assert Task(name="pair-classification", pooling="max").pooling == "max"
    with pytest.raises(ValidationError, match="pooling has no meaning for question-answering"):
        Task(name="question-answering", pooling="mean")
    with pytest.raises(ValidationError, match="pooling"):
        Task(name="classification", pooling="median")
