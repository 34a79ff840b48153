"""Experts: who visits whom, by hand; the loss for balance; layers that have them as count says."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.count.layers import expert_layers  # noqa: E402
from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.experts import ExpertFeedForward, Router, balance_loss, has_experts  # noqa: E402
from tonne.model.inputs import Inputs  # noqa: E402
from tonne.model.layer import attends_fully  # noqa: E402
from tonne.model.making import Making  # noqa: E402


def described(**experts):
    fields = {"count": 4, "per_token": 2, "width": 3, **experts}
    return Architecture(kind="decoder", layers=1, width=4, heads=1, vocabulary=7, experts=fields, activation="relu")


def router_of(logits, **experts):
    """A router whose logits for the unit vectors are the rows given."""
    a = described(**experts)
    router = Router(a, a.experts, making=Making(dtype=torch.float64))
    with torch.no_grad():
        router.scores.weight.copy_(torch.tensor(logits, dtype=torch.float64).T)
    return router


def test_the_best_experts_are_visited_with_weights_that_sum_to_one():
    # softmax of ln (1, 2, 3, 4) is 0.1, 0.2, 0.3, 0.4: experts 3 and 2 with 4 / 7 and 3 / 7
    logits = torch.tensor([1.0, 2, 3, 4]).log().tolist()
    chosen, weights, shares = router_of([logits] * 4)(torch.eye(4, dtype=torch.float64)[:1])
    assert chosen.tolist() == [[3, 2]]
    assert weights[0].tolist() == pytest.approx([4 / 7, 3 / 7], abs=1e-7)
    assert shares[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-7)


def test_a_lone_expert_keeps_its_probability_lest_the_router_never_learns():
    logits = torch.tensor([1.0, 2, 3, 4]).log().tolist()
    _, weights, _ = router_of([logits] * 4, per_token=1)(torch.eye(4, dtype=torch.float64)[:1])
    assert weights[0].tolist() == pytest.approx([0.4], abs=1e-7)


def test_a_correction_moves_the_choice_and_not_the_weight():
    router = router_of([[0.0, 1.0, 2.0, 3.0]] * 4, router_scores="sigmoid", router_correction=True, routing_scale=2.0)
    with torch.no_grad():
        router.correction.copy_(torch.tensor([5.0, 0, 0, 0]))
    chosen, weights, _ = router(torch.eye(4, dtype=torch.float64)[:1])
    first, last = 1 / 2, 1 / (1 + 2.718281828459045**-3)
    assert chosen.tolist() == [[0, 3]]
    assert weights[0].tolist() == pytest.approx([2 * first / (first + last), 2 * last / (first + last)], abs=1e-9)
    assert not router.correction.requires_grad


def test_experts_outside_the_best_groups_are_not_visited():
    # groups {0, 1} and {2, 3}: sums of the best two are 3 + 0 < 2 + 2, so the best expert of all is left
    router = router_of([[3.0, -9.0, 1.0, 1.0]] * 4, router_scores="sigmoid", groups=2, groups_per_token=1)
    chosen, _, _ = router(torch.eye(4, dtype=torch.float64)[:1])
    assert sorted(chosen[0].tolist()) == [2, 3]


def test_groups_must_divide_the_experts():
    with pytest.raises(DescriptionError, match=r"groups=3 and groups_per_token=1 do not fit experts\.count=4"):
        router_of([[0.0] * 4] * 4, groups=3)


def test_tokens_get_the_weighted_sum_of_their_experts():
    torch.manual_seed(0)
    a = described(shared=1)
    block = ExpertFeedForward(a, a.experts, making=Making(dtype=torch.float64)).eval()
    states = torch.randn(2, 3, 4, dtype=torch.float64)
    mixed, balance = block(states)
    assert balance is None
    for state, got in zip(states.flatten(0, 1), mixed.flatten(0, 1), strict=True):
        chosen, weights, _ = block.router(state[None])
        wanted = block.shared[0](state)
        for expert, weight in zip(chosen[0], weights[0], strict=True):
            wanted = wanted + weight * (block.down[expert] @ torch.relu(block.up[expert] @ state))
        assert (got - wanted).abs().max() <= 1e-12


def test_balance_is_one_where_all_experts_are_used_alike_and_their_number_where_one_is():
    alike = torch.full((4, 4), 0.25)
    assert balance_loss(torch.tensor([[0, 1], [2, 3], [0, 1], [2, 3]]), alike).item() == pytest.approx(1.0)
    alone = torch.tensor([[1.0, 0, 0, 0]] * 3)
    assert balance_loss(torch.tensor([[0], [0], [0]]), alone).item() == pytest.approx(4.0)


def test_balance_is_added_to_the_loss_while_training_only(small):
    torch.manual_seed(0)
    fields = small("mixtral-8x7b").experts.model_dump() | {"load_balance_weight": 0.5}
    model = Transformer(small("mixtral-8x7b", experts=fields), dtype=torch.float64)
    tokens = torch.randint(0, 97, (2, 5))
    mask = torch.tensor([[1] * 5, [1, 1, 0, 0, 0]])
    plain = model.eval().loss(tokens, tokens, mask)
    sight = model.train()._run(tokens, mask, Inputs())[1]
    balance = torch.stack(sight.balance).mean()
    assert len(sight.balance) == 2
    assert model.loss(tokens, tokens, mask).item() == pytest.approx((plain + 0.5 * balance).item(), abs=1e-12)


@pytest.mark.parametrize("preset", [p for p in Architecture.preset_ids() if Architecture.preset(p).experts])
def test_as_many_layers_have_experts_as_count_says(preset):
    a = Architecture.preset(preset)
    for layers in {a.layers, a.encoder_layers, a.decoder_layers} - {None}:
        assert sum(has_experts(a.experts, index) for index in range(layers)) == expert_layers(a, layers)


@pytest.mark.parametrize("preset", [p for p in Architecture.preset_ids() if Architecture.preset(p).attention_window])
def test_as_many_layers_attend_fully_as_count_says(preset):
    from tonne.count.flops import full_layers  # noqa: PLC0415

    a = Architecture.preset(preset)
    assert sum(attends_fully(a, index) for index in range(a.layers)) == full_layers(a, a.layers)
