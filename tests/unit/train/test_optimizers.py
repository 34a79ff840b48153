"""Optimizers: the same numbers as torch's where it has them, and as the equation where it has not."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from tonne.describe.architecture import Architecture  # noqa: E402 - after the skip
from tonne.describe.training import Training  # noqa: E402 - as above
from tonne.model import Transformer  # noqa: E402 - as above
from tonne.train.adamw import AdamW  # noqa: E402 - as above
from tonne.train.muon import ITERATIONS, A, B, C, Muon, orthogonal, scaled_orthogonal  # noqa: E402 - as above
from tonne.train.optimizers import matrices_in, optimizers_of  # noqa: E402 - as above


def parameters(*shapes):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(*shape)) for shape in shapes]


def test_adamw_is_torchs_fused_adamw_bit_for_bit():
    own, others = parameters((5, 7), (7,)), parameters((5, 7), (7,))
    groups = [[{"params": [p[0]], "weight_decay": 0.1}, {"params": [p[1]], "weight_decay": 0.0}] for p in (own, others)]
    ours = AdamW(groups[0], lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    theirs = torch.optim.AdamW(groups[1], lr=1e-2, betas=(0.9, 0.95), eps=1e-8, fused=True)
    for _ in range(5):
        for a, b in zip(own, others, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    assert all(torch.equal(a, b) for a, b in zip(own, others, strict=True))


def newton_schulz(value):
    """What the iteration makes of one singular value: a polynomial of it, applied so often."""
    for _ in range(ITERATIONS):
        value = A * value + B * value**3 + C * value**5
    return value


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_orthogonal_keeps_singular_vectors_and_maps_each_singular_value(shape):
    torch.manual_seed(1)
    matrix = torch.randn(*shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    expected = u @ torch.diag(newton_schulz(s / matrix.norm())) @ v
    assert torch.allclose(orthogonal(matrix[None])[0], expected, rtol=0, atol=1e-12)


def test_orthogonal_values_lie_near_one():
    torch.manual_seed(2)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 16, 64, dtype=torch.float64)))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_update_has_the_size_of_an_adamw_update():
    torch.manual_seed(3)
    (made,) = scaled_orthogonal([torch.randn(64, 16, dtype=torch.float64)])
    assert float(made.square().mean().sqrt()) == pytest.approx(0.2, rel=0.25)  # liu2025muon: RMS 0.2


def test_stacked_matrices_are_made_orthogonal_one_by_one():
    torch.manual_seed(4)
    parts = [torch.randn(8, 8, dtype=torch.float64), torch.randn(8, 8, dtype=torch.float64)]
    whole = torch.nn.Parameter(torch.cat(parts))
    alone = [torch.nn.Parameter(part.clone()) for part in parts]
    whole.grad = torch.randn_like(whole)
    for parameter, gradient in zip(alone, whole.grad.split(8), strict=True):
        parameter.grad = gradient.clone()
    Muon([{"params": [whole], "rows": (8, 8)}], lr=0.1).step()
    Muon([{"params": alone}], lr=0.1).step()
    assert torch.allclose(whole, torch.cat(list(alone)), rtol=0, atol=1e-14)


def test_muon_step_by_hand():
    # of diag(3, 4) times the identity's directions: momentum 0.95, then Nesterov, then singular values 3/5 and 4/5
    parameter = torch.nn.Parameter(torch.eye(2, dtype=torch.float64))
    parameter.grad = torch.diag(torch.tensor([3.0, 4.0], dtype=torch.float64))
    Muon([{"params": [parameter]}], lr=0.1, weight_decay=0.5).step()
    scale = 0.2 * math.sqrt(2)
    expected = [1 * (1 - 0.1 * 0.5) - 0.1 * scale * newton_schulz(torch.tensor(part)).item() for part in (0.6, 0.8)]
    assert torch.allclose(parameter.diag(), torch.tensor(expected, dtype=torch.float64), atol=1e-6)


def model(**fields):
    fields = {
        "kind": "decoder",
        "layers": 1,
        "width": 16,
        "heads": 4,
        "vocabulary": 32,
        "positions": "rotary",
        **fields,
    }
    return Transformer(Architecture(**fields), device="meta")


def test_muon_takes_the_matrices_of_the_layers_and_adamw_the_rest():
    made = model(positions="learned", max_positions=8)
    adamw, muon = optimizers_of(made, Training(optimizer="muon")).parts
    names = {parameter: name for name, parameter in made.named_parameters()}
    by_muon = {names[p] for group in muon.param_groups for p in group["params"]}
    assert by_muon == {
        "decoder.layers.0.attention.query_key_value.weight",
        "decoder.layers.0.attention.output.weight",
        "decoder.layers.0.feed_forward.up.weight",
        "decoder.layers.0.feed_forward.down.weight",
    }
    by_adamw = {names[p] for group in adamw.param_groups for p in group["params"]}
    assert by_adamw == set(names.values()) - by_muon


def test_norms_and_biases_do_not_decay():
    (adamw,) = optimizers_of(model(), Training(weight_decay=0.3)).parts
    decay = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in adamw.param_groups}
    assert decay == {0.3: {2}, 0.0: {1}}


def test_fused_products_are_told_apart():
    grouped = model(kv_heads=2, feed_forward="gated")
    shapes = {name: parameter.shape for name, parameter in grouped.named_parameters()}
    assert matrices_in("decoder.layers.0.attention.query_key_value.weight", shapes) == (16, 8, 8)
    assert matrices_in("decoder.layers.0.feed_forward.gate_up.weight", shapes) == (64, 64)
    assert matrices_in("decoder.layers.0.feed_forward.down.weight", shapes) is None


def test_rates_follow_the_schedule_from_each_optimizers_own_peak():
    training = Training(optimizer="muon", learning_rate=1e-3, matrix_learning_rate=2e-2)
    made = optimizers_of(model(), training)
    made.set_rate(0.5)
    assert [group["lr"] for part in made.parts for group in part.param_groups] == pytest.approx(
        [5e-4, 5e-4, 1e-2, 1e-2]
    )


def test_norm_of_gradients_is_told_before_clipping_and_is_the_same_without():
    from tonne.train.step import gradient_norm

    (parameter,) = parameters((2,))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert gradient_norm([parameter], None) == pytest.approx(5.0)
    assert parameter.grad.tolist() == [3.0, 4.0]
    assert gradient_norm([parameter], 1.0) == pytest.approx(5.0)
    assert parameter.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
