"""The chunked loss: equal to torch's own over whole logits, in values, gradients and FLOP."""

from __future__ import annotations

import warnings

import pytest

import tonne
from tonne.errors import DescriptionError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from tonne.model import loss as loss_module  # noqa: E402
from tonne.model.loss import linear_cross_entropy  # noqa: E402

F = nn.functional
ROWS, WIDTH, VOCABULARY = 23, 7, 31
IGNORED = (0, 5, 6, 22)
TERMS = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "all smoothed": {"label_smoothing": 1.0},
    "z": {"z_loss": 1e-2},
    "capped": {"softcap": 1.5},
    "all": {"label_smoothing": 0.2, "z_loss": 1e-2, "softcap": 2.0},
    "sum": {"reduction": "sum"},
    "all, summed": {"label_smoothing": 0.2, "z_loss": 1e-2, "softcap": 2.0, "reduction": "sum"},
}


def inputs(dtype=torch.float64, *, ignored=IGNORED, bias=True, rows=ROWS):
    torch.manual_seed(0)
    states = torch.randn(rows, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype, requires_grad=True)
    shift = torch.randn(VOCABULARY, dtype=dtype, requires_grad=True) if bias else None
    targets = torch.randint(VOCABULARY, (rows,))
    targets[list(ignored)] = -100
    return states, weight, targets, shift


def plain(  # noqa: PLR0913 - as the function beside which it is put
    states, weight, targets, bias=None, *, label_smoothing=0.0, z_loss=0.0, softcap=None, reduction="mean"
):
    """The same over whole logits, with torch's own cross-entropy; PaLM's term and Gemma's bound written out."""
    logits = F.linear(states, weight, bias)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    loss = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction=reduction)
    squares = logits.logsumexp(-1).square()[targets != -100]
    return loss + z_loss * (squares.mean() if reduction == "mean" else squares.sum())


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, [tensor for tensor in tensors if tensor is not None])


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk_rows", [None, 1, 5, 19, 1000])
def test_equals_cross_entropy_of_whole_logits(terms, bias, chunk_rows):
    states, weight, targets, shift = inputs(bias=bias)
    ours = linear_cross_entropy(states, weight, targets, shift, chunk_rows=chunk_rows, **terms)
    theirs = plain(states, weight, targets, shift, **terms)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    for mine, other in zip(
        gradients(ours, states, weight, shift), gradients(theirs, states, weight, shift), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-15)


def test_loss_by_hand():
    states = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    weight = torch.eye(2, dtype=torch.float64)
    loss = linear_cross_entropy(states, weight, torch.tensor([0, 0]))
    # logits (1, 0) and (0, 2): -log(e / (e + 1)) and -log(1 / (1 + e^2))
    assert float(loss) == pytest.approx((0.3132616875182228 + 2.1269280110429727) / 2, rel=1e-12)


def test_equals_torchs_own_chunked_loss():
    states, weight, targets, shift = inputs()
    ours = linear_cross_entropy(states, weight, targets, shift)
    theirs = F.linear_cross_entropy(states, weight, targets, linear_bias=shift, ignore_index=-100)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_gradients_are_those_of_finite_differences(terms):
    states, weight, targets, shift = inputs(rows=6, ignored=(2,))
    assert torch.autograd.gradcheck(
        lambda *tensors: linear_cross_entropy(tensors[0], tensors[1], targets, tensors[2], chunk_rows=2, **terms),
        (states, weight, shift),
    )


@pytest.mark.slow
def test_nothing_is_read_before_it_is_written():
    states, weight, targets, shift = inputs()
    expected = gradients(plain(states, weight, targets, shift), states, weight, shift)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        ours = gradients(linear_cross_entropy(states, weight, targets, shift, chunk_rows=4), states, weight, shift)
        low = linear_cross_entropy(states.bfloat16(), weight.bfloat16(), targets, chunk_rows=4)
        assert all(gradient.isfinite().all() for gradient in gradients(low, states, weight))
    finally:
        torch.use_deterministic_algorithms(False)
    for mine, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-15)


@pytest.mark.slow
def test_without_gradients_none_is_made():
    states, weight, targets, shift = inputs()
    expected = plain(states, weight, targets, shift)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, FlopCounterMode(display=False) as counter:
            loss = linear_cross_entropy(states, weight, targets, shift)
        assert not loss.requires_grad
        assert counter.get_total_flops() == 2 * (ROWS - len(IGNORED)) * WIDTH * VOCABULARY
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("frozen", ["states", "weight", "bias"])
def test_what_is_frozen_gets_no_gradient_and_costs_none(frozen):
    states, weight, targets, shift = inputs()
    named = {"states": states, "weight": weight, "bias": shift}
    named[frozen].requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        linear_cross_entropy(states, weight, targets, shift).backward()
    products = 3 if frozen == "bias" else 2
    assert counter.get_total_flops() == products * 2 * (ROWS - len(IGNORED)) * WIDTH * VOCABULARY
    assert named[frozen].grad is None
    free = [tensor for name, tensor in named.items() if name != frozen]
    expected = gradients(plain(states, weight, targets, shift), *free)
    for tensor, gradient in zip(free, expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_no_row_with_a_target_costs_nothing_and_moves_nothing(terms):
    states, weight, targets, shift = inputs(ignored=range(ROWS))
    loss = linear_cross_entropy(states, weight, targets, shift, **terms)
    loss.backward()
    assert loss.item() == 0
    for tensor in (states, weight, shift):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_rows_may_be_given_by_sequence():
    states, weight, targets, shift = inputs(rows=24)
    apart = linear_cross_entropy(states.view(4, 6, WIDTH), weight, targets.view(4, 6), shift)
    torch.testing.assert_close(apart, linear_cross_entropy(states, weight, targets, shift), rtol=0, atol=0)


def test_another_index_may_be_ignored_or_none():
    states, weight, targets, _ = inputs(ignored=())
    targets[3] = 4
    ours = linear_cross_entropy(states, weight, targets, ignore_index=4)
    theirs = F.cross_entropy(F.linear(states, weight), targets, ignore_index=4)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    every = linear_cross_entropy(states, weight, targets, ignore_index=None)
    torch.testing.assert_close(every, F.cross_entropy(F.linear(states, weight), targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize("incoming", [0.0, 0.25, -3.0, 65536.0])
def test_the_gradient_that_comes_in_scales_those_that_go_out(incoming):
    states, weight, targets, shift = inputs()
    ours = gradients(incoming * linear_cross_entropy(states, weight, targets, shift), states, weight, shift)
    theirs = gradients(incoming * plain(states, weight, targets, shift), states, weight, shift)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-15 * max(1, abs(incoming)))


def test_going_back_twice_gives_the_same_twice_even_where_the_first_was_changed():
    states, weight, targets, shift = inputs()
    loss = linear_cross_entropy(states, weight, targets, shift)
    loss.backward(retain_graph=True)
    once = weight.grad.clone()
    weight.grad.mul_(7)  # an optimizer, or clipping, works in place
    weight.grad = None
    loss.backward()
    assert torch.equal(weight.grad, once)


def test_gradients_of_several_calls_add_up():
    states, weight, targets, shift = inputs()
    expected = gradients(
        plain(states, weight, targets, shift) + 2 * plain(states.square(), weight, targets.roll(1)), states, weight
    )
    linear_cross_entropy(states, weight, targets, shift).backward()
    (2 * linear_cross_entropy(states.square(), weight, targets.roll(1))).backward()
    for tensor, gradient in zip((states, weight), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-12, atol=1e-14)


def test_a_table_that_is_tied_gets_gradients_of_both_uses():
    torch.manual_seed(1)
    table = torch.randn(VOCABULARY, WIDTH, dtype=torch.float64, requires_grad=True)
    tokens, targets = torch.randint(VOCABULARY, (2, 12)).unbind(0)
    (ours,) = gradients(linear_cross_entropy(F.embedding(tokens, table).tanh(), table, targets), table)
    (theirs,) = gradients(plain(F.embedding(tokens, table).tanh(), table, targets), table)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)


def test_second_derivatives_are_refused():
    states, weight, targets, shift = inputs()
    loss = linear_cross_entropy(states, weight, targets, shift)
    with pytest.raises(DescriptionError, match=r"cannot be differentiated twice \(create_graph=True\)\. Take torch"):
        torch.autograd.grad(loss, states, create_graph=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_other_types_come_as_near_to_fp64_as_they_can(dtype, tolerance):
    states, weight, targets, shift = inputs(rows=300, ignored=(0, 299))
    exact = plain(states, weight, targets, shift)
    low = [tensor.detach().to(dtype).requires_grad_() for tensor in (states, weight, shift)]
    loss = linear_cross_entropy(low[0], low[1], targets, low[2], chunk_rows=64)
    assert loss.dtype is torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=tolerance, atol=0)
    for mine, other, given in zip(gradients(loss, *low), gradients(exact, states, weight, shift), low, strict=True):
        assert mine.dtype is given.dtype
        torch.testing.assert_close(mine.double(), other, rtol=0, atol=tolerance * float(other.abs().max()))


def test_gradients_of_a_bf16_table_are_added_in_fp32():
    rows = 4096
    states, weight = (
        torch.ones(rows, 1, dtype=torch.bfloat16),
        torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True),
    )
    linear_cross_entropy(states, weight, torch.zeros(rows, dtype=torch.long), chunk_rows=4, reduction="sum").backward()
    # each row gives -1/2 and 1/2; added up in bf16, chunks of 2 would be lost above 512
    assert weight.grad.flatten().tolist() == [-rows / 2, rows / 2]


def test_fp16_gradients_outlive_a_mean_over_many_rows():
    rows = 1 << 16
    states = torch.full((rows, 1), 1e-3, dtype=torch.float16, requires_grad=True)
    weight = torch.tensor([[0.0], [1e-3]], dtype=torch.float16, requires_grad=True)
    (65536 * linear_cross_entropy(states, weight, torch.zeros(rows, dtype=torch.long))).backward()
    # d loss / d state = (p_1) x 1e-3 / rows = 7.6e-9, which fp16 does not hold; times 65536 it does
    torch.testing.assert_close(states.grad.float(), torch.full((rows, 1), 5e-4), rtol=2e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_multiplies_in_its_type_and_keeps_the_others(dtype):
    states, weight, targets, shift = (
        tensor.detach().float().requires_grad_() if tensor.is_floating_point() else tensor
        for tensor in inputs(rows=64, ignored=(1,))
    )
    with torch.autocast("cpu", dtype=dtype), FlopCounterMode(display=False):
        ours = linear_cross_entropy(states, weight, targets, shift, chunk_rows=16)
        theirs = plain(states, weight, targets, shift)
    assert ours.dtype is torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    ours.backward()
    for tensor, other in zip((states, weight, shift), gradients(theirs, states, weight, shift), strict=True):
        assert tensor.grad.dtype is torch.float32
        torch.testing.assert_close(tensor.grad, other, rtol=0, atol=1e-2 * float(other.abs().max()))


def test_autocast_leaves_fp64_alone():
    states, weight, targets, shift = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = linear_cross_entropy(states, weight, targets, shift)
    torch.testing.assert_close(ours, plain(states, weight, targets, shift), rtol=1e-12, atol=0)


def test_large_logits_stay_finite():
    states, weight, targets, _ = inputs(torch.float32, bias=False)
    loss = linear_cross_entropy(states * 1e4, weight, targets)
    torch.testing.assert_close(loss, plain(states * 1e4, weight, targets))
    assert all(gradient.isfinite().all() for gradient in gradients(loss, states, weight))


class Head(nn.Module):
    """A body of one product, and the loss."""

    def __init__(self, loss, *, bias=True):
        super().__init__()
        self.body = nn.Linear(WIDTH, WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=bias)
        self.loss = loss

    def forward(self, x, targets):
        return self.loss(self.body(x), self.head.weight, targets, self.head.bias)


@pytest.mark.parametrize("frozen", [False, True])
def test_flop_are_those_of_the_plain_loss_pass_by_pass(frozen):
    example = (torch.randn(ROWS, WIDTH), torch.randint(VOCABULARY, (ROWS,)))
    counts = []
    for loss in (linear_cross_entropy, plain):
        model = Head(loss)
        model.head.requires_grad_(not frozen)
        counts.append(tonne.count_module(model, example))
    ours, theirs = counts
    assert ours.forward_flop == theirs.forward_flop == 2 * ROWS * WIDTH * (WIDTH + VOCABULARY)
    assert ours.backward_flop == theirs.backward_flop
    assert ours.backward_flop == 2 * ROWS * WIDTH * (WIDTH + (1 if frozen else 2) * VOCABULARY)
    assert ours.uncounted == {}
    # torch's own counter sees the same operators, and cannot tell the passes apart
    with FlopCounterMode(display=False) as counter:
        model(*example).backward() if frozen else Head(linear_cross_entropy)(*example).backward()
    assert counter.get_total_flops() == ours.training_flop


def test_rows_without_a_target_are_not_multiplied():
    _, _, targets, _ = inputs()
    counts = tonne.count_module(Head(linear_cross_entropy), (torch.randn(ROWS, WIDTH), targets))
    kept = ROWS - len(IGNORED)
    assert counts.training_flop == 2 * 2 * ROWS * WIDTH * WIDTH + 3 * 2 * kept * WIDTH * VOCABULARY


def test_a_model_without_memory_is_counted_where_every_row_has_a_target():
    with torch.device("meta"):
        model = Head(lambda *given: linear_cross_entropy(*given, ignore_index=None))
        example = (torch.empty(ROWS, WIDTH), torch.empty(ROWS, dtype=torch.long))
    counts = tonne.count_module(model, example)
    assert counts.training_flop == 2 * 2 * ROWS * WIDTH * WIDTH + 3 * 2 * ROWS * WIDTH * VOCABULARY


@pytest.mark.slow
def test_a_compiled_body_leads_into_the_loss():
    model = Head(linear_cross_entropy).double()
    example = (torch.randn(ROWS, WIDTH, dtype=torch.float64), inputs()[2])
    expected = gradients(model(*example), *model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        whole = torch.compile(model)
        model.body.compile()
        for compiled in (whole, model):
            model.zero_grad()
            compiled(*example).backward()
            for parameter, gradient in zip(model.parameters(), expected, strict=True):
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-13)


def test_gradients_reach_the_hooks_of_parameters_in_the_backward_pass():
    model = Head(linear_cross_entropy)
    seen = []
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: seen.append(name))
    loss = model(torch.randn(ROWS, WIDTH), torch.full((ROWS,), -100))
    assert seen == []
    loss.backward()
    assert sorted(seen) == ["body.weight", "head.bias", "head.weight"]


def test_no_tensor_is_larger_than_a_chunk_of_logits(monkeypatch):
    from torch.utils._python_dispatch import TorchDispatchMode

    rows, vocabulary = 512, 4096
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    monkeypatch.setattr(loss_module, "CPU_CHUNK_ROWS", 64)
    states, weight = torch.randn(rows, 8, requires_grad=True), torch.randn(vocabulary, 8, requires_grad=True)
    with Sizes():
        linear_cross_entropy(states, weight, torch.randint(vocabulary, (rows,))).backward()
    assert largest == 64 * vocabulary


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"label_smoothing": 1.5}, r"label_smoothing=1\.5\. Give a share from 0 to 1"),
        ({"z_loss": -1.0}, r"z_loss=-1\.0\. Give a coefficient of 0 or more"),
        ({"softcap": 0.0}, r"softcap=0\.0\. Give a bound above 0"),
        ({"chunk_rows": 0}, r"chunk_rows=0\. Give 1 or more rows"),
        ({"reduction": "none"}, r"reduction='none'\. Give 'mean' or 'sum'"),
        ({"weight": torch.zeros(5, 3)}, r"states \(23, 7\) and weight \(5, 3\) do not fit"),
        ({"targets": torch.zeros(4, dtype=torch.long)}, r"targets \(4,\) do not fit states \(23, 7\).* \(23,\)"),
        ({"targets": torch.zeros(ROWS)}, r"targets are torch\.float32\. Give whole numbers"),
        ({"targets": torch.full((ROWS,), 31)}, r"target 31 is not in the vocabulary of 31 tokens.* 0 to 30"),
        ({"targets": torch.full((ROWS,), -1)}, r"target -1 is not in the vocabulary"),
        ({"bias": torch.zeros(3, dtype=torch.float64)}, r"bias \(3,\) does not fit weight \(31, 7\)"),
        ({"weight": torch.zeros(31, 7)}, r"of torch\.float32, torch\.float64\. Give one type"),
    ],
)
def test_what_does_not_fit_is_said(change, text):
    states, weight, targets, shift = inputs()
    given = {"states": states, "weight": weight, "targets": targets, "bias": shift, **change}
    with pytest.raises(DescriptionError, match=text):
        linear_cross_entropy(**given)


def test_ranks_share_its_gradients(tmp_path):
    distributed = torch.distributed
    if not distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    example = (torch.randn(ROWS, WIDTH), inputs()[2])
    model = Head(linear_cross_entropy)
    expected = gradients(model(*example), *model.parameters())
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "ranks"), 1), rank=0, world_size=1
    )
    try:
        nn.parallel.DistributedDataParallel(model)(*example).backward()
    finally:
        distributed.destroy_process_group()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)],
)
@pytest.mark.parametrize("chunk_rows", [None, 64])
def test_on_an_accelerator_as_on_the_processor(dtype, tolerance, chunk_rows):
    states, weight, targets, shift = inputs(rows=300, ignored=(0, 299))
    exact = plain(states, weight, targets, shift, label_smoothing=0.1)
    there = [tensor.detach().to("cuda", dtype).requires_grad_() for tensor in (states, weight, shift)]
    loss = linear_cross_entropy(
        there[0], there[1], targets.cuda(), there[2], label_smoothing=0.1, chunk_rows=chunk_rows
    )
    torch.testing.assert_close(loss.double().cpu(), exact, rtol=tolerance, atol=0)
    for mine, other in zip(gradients(2 * loss, *there), gradients(2 * exact, states, weight, shift), strict=True):
        torch.testing.assert_close(mine.double().cpu(), other, rtol=0, atol=tolerance * float(other.abs().max()))
