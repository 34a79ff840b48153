"""Counting a module: values by hand, and nothing of the user's changes."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

import tonne
from tonne.errors import DescriptionError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

pytestmark = pytest.mark.slow  # networks, run to count what they execute

F = nn.functional
BATCH, LENGTH, WIDTH, HEADS = 2, 6, 8, 4


def test_linear_by_hand():
    counts = tonne.count_module(nn.Linear(3, 5), torch.zeros(2, 3))
    assert counts.parameters == counts.trainable_parameters == 3 * 5 + 5
    assert counts.forward_flop == 2 * 2 * 3 * 5
    assert counts.backward_flop == 2 * 2 * 3 * 5  # of the weight alone: the example wants no gradient
    assert counts.training_flop == sum(counts.flop_by_operation.values()) == 120
    assert counts.examples == 2
    assert counts.training_flop_per_example == 60
    assert counts.uncounted == {}
    assert counts.notes == ()


def test_an_example_that_wants_a_gradient_gets_it_counted():
    counts = tonne.count_module(nn.Linear(3, 5), torch.zeros(2, 3, requires_grad=True))
    assert counts.backward_flop == 2 * counts.forward_flop


def test_two_layers_by_submodule():
    counts = tonne.count_module(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 7)), torch.zeros(2, 3))
    first, second = 2 * 2 * 3 * 5, 2 * 2 * 5 * 7
    assert counts.forward_flop == first + second
    assert counts.backward_flop == first + 2 * second
    assert counts.flop_by_module == {"": 2 * first + 3 * second, "0": 2 * first, "2": 3 * second}


@pytest.mark.parametrize(("stride", "side"), [(1, 7), (2, 4)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution_by_hand(stride, side, groups):
    counts = tonne.count_module(nn.Conv2d(4, 8, 3, stride, groups=groups), torch.zeros(2, 4, 9, 9))
    filters = 8 * (4 // groups) * 3 * 3
    assert counts.forward_flop == 2 * 2 * side * side * filters
    assert counts.backward_flop == counts.forward_flop  # of the filters; torch's own counter forgets the groups here
    both = tonne.count_module(nn.Conv2d(4, 8, 3, stride, groups=groups), torch.zeros(2, 4, 9, 9, requires_grad=True))
    assert both.backward_flop == 2 * counts.forward_flop


def test_transposed_convolution_by_hand():
    counts = tonne.count_module(nn.ConvTranspose2d(4, 6, 3, 2, groups=2), torch.zeros(2, 4, 9, 9, requires_grad=True))
    assert counts.forward_flop == 2 * 2 * 9 * 9 * 4 * (6 // 2) * 3 * 3  # each input element meets one filter
    assert counts.backward_flop == 2 * counts.forward_flop


@pytest.mark.parametrize("dimensions", [1, 3])
def test_convolution_of_other_dimensions(dimensions):
    convolution = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions](4, 6, 3)
    counts = tonne.count_module(convolution, torch.zeros(2, 4, *[9] * dimensions), backward=False)
    assert counts.forward_flop == 2 * 2 * 7**dimensions * 6 * 4 * 3**dimensions
    assert counts.backward_flop == 0


class Attention(nn.Module):
    def __init__(self, fused, key_heads=HEADS, causal=True):
        super().__init__()
        self.fused, self.key_heads, self.causal = fused, key_heads, causal
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, states):  # (batch, heads, length, width)
        query = self.linear(states)
        key = query[:, : self.key_heads]
        if self.fused:
            shared = self.key_heads != HEADS
            return F.scaled_dot_product_attention(query, key, key, is_causal=self.causal, enable_gqa=shared)
        key = key.repeat_interleave(HEADS // self.key_heads, 1)
        return (query @ key.transpose(2, 3)).softmax(-1) @ key


@pytest.mark.parametrize("key_heads", [HEADS, 2])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fused_attention_is_eager_attention(key_heads, causal, device):
    states = torch.zeros(BATCH, HEADS, LENGTH, WIDTH)
    linear = 2 * BATCH * HEADS * LENGTH * WIDTH * WIDTH
    scores = 2 * 2 * BATCH * HEADS * LENGTH * LENGTH * WIDTH  # the whole square, causal or not
    for fused in (True, False):
        counts = tonne.count_module(Attention(fused, key_heads, causal).to(device), states)
        assert counts.forward_flop == linear + scores
        assert counts.backward_flop == linear + 2 * scores
        assert counts.uncounted == {}


def test_what_a_fused_kernel_repeats_is_told_apart():
    counts = tonne.count_module(Attention(fused=True), torch.zeros(BATCH, HEADS, LENGTH, WIDTH))
    assert counts.repeated_flop == 2 * BATCH * HEADS * LENGTH * LENGTH * WIDTH
    assert "4,608 FLOP" in counts.notes[0]


class Head(nn.Module):
    def __init__(self, options=None, reduction="mean"):
        super().__init__()
        self.options, self.reduction = options, reduction
        self.body, self.table = nn.Linear(8, 8), nn.Linear(8, 50)

    def forward(self, states, targets):
        states = self.body(states)
        if self.options is None:
            return F.cross_entropy(self.table(states), targets)
        return F.linear_cross_entropy(
            states, self.table.weight, targets, linear_bias=self.table.bias, options=self.options
        )


def test_fused_head_and_loss_are_the_plain_ones():
    if not hasattr(F, "linear_cross_entropy"):
        pytest.skip("this torch has no linear_cross_entropy")
    from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

    example = (torch.zeros(6, 8), torch.zeros(6, dtype=torch.long))
    plain = tonne.count_module(Head(), example)
    fused = tonne.count_module(Head(LinearCrossEntropyOptions()), example)
    body, head = 2 * 6 * 8 * 8, 2 * 6 * 8 * 50
    for counts in (plain, fused):
        assert counts.forward_flop == body + head
        assert counts.backward_flop == body + 2 * head
    alone = tonne.count_module(Head(LinearCrossEntropyOptions()), example, backward=False)
    assert alone.training_flop == body + head


def test_lstm_by_hand():
    counts = tonne.count_module(nn.LSTM(3, 5, batch_first=True), torch.zeros(2, 4, 3), backward=False)
    assert counts.forward_flop == 2 * 2 * 4 * (4 * 5) * (3 + 5)  # two sequences of four, four gates of five
    deep = tonne.count_module(nn.LSTM(3, 5, 2, bidirectional=True), torch.zeros(4, 2, 3), backward=False)
    assert deep.forward_flop == 2 * 2 * 4 * 2 * (4 * 5) * ((3 + 5) + (10 + 5))


def test_gru_by_hand():
    counts = tonne.count_module(nn.GRU(3, 5, batch_first=True), torch.zeros(2, 4, 3))
    of_input, of_state = 2 * 2 * 4 * (3 * 5) * 3, 2 * 2 * 4 * (3 * 5) * 5
    assert counts.forward_flop == of_input + of_state
    # of the input no gradient is wanted, of the first of the four states neither
    assert counts.backward_flop == of_input + of_state + of_state * 3 // 4


def layer():
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def test_fast_paths_are_the_plain_ones():
    tokens, states = BATCH * LENGTH, torch.zeros(BATCH, LENGTH, 8)
    attention = 2 * tokens * 4 * 8 * 8 + 2 * 2 * tokens * LENGTH * 8
    expected = attention + 2 * tokens * 2 * 8 * 16
    fast = tonne.count_module(layer().eval(), states, backward=False)
    assert list(fast.flop_by_operation) == ["aten::_transformer_encoder_layer_fwd"]
    assert fast.forward_flop == tonne.count_module(layer(), states, backward=False).forward_flop == expected
    heads = nn.MultiheadAttention(8, 2, batch_first=True)
    plain = tonne.count_module(heads, (states, states, states), backward=False)
    fused = tonne.count_module(heads.eval(), (states, states, states), backward=False)
    assert list(fused.flop_by_operation) == ["aten::_native_multi_head_attention"]
    assert plain.forward_flop == fused.forward_flop == attention


def test_inference_mode_and_autocast_change_nothing():
    example = (torch.zeros(6, 8), torch.zeros(6, dtype=torch.long))
    plain = tonne.count_module(Head(), example)
    with torch.inference_mode():
        inside = tonne.count_module(Head(), example)
    with torch.autocast("cpu", torch.bfloat16):
        cast = tonne.count_module(Head(), example)
    assert plain == inside == cast


class Matmuls(nn.Module):
    def forward(self, a, b):
        return torch.einsum("bij,bjk->bik", a, b) + a @ b + torch.baddbmm(a @ b, a, b) + torch.matmul(a[0], b)


def test_products_by_hand():
    a, b = torch.zeros(2, 3, 4), torch.zeros(2, 4, 5)
    assert tonne.count_module(Matmuls(), (a, b)).forward_flop == 5 * 2 * 2 * 3 * 4 * 5


def test_quantised_product():
    class Int(nn.Module):
        def forward(self, a, b):
            return torch._int_mm(a, b)

    a, b = torch.zeros(32, 16, dtype=torch.int8), torch.zeros(16, 8, dtype=torch.int8)
    assert tonne.count_module(Int(), (a, b)).forward_flop == 2 * 32 * 16 * 8


def test_frozen_parameters_take_no_gradient():
    module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 7), nn.Linear(7, 2))
    module[1].requires_grad_(False)
    counts = tonne.count_module(module, torch.zeros(2, 3))
    first, second, third = 2 * 2 * 3 * 5, 2 * 2 * 5 * 7, 2 * 2 * 7 * 2
    assert counts.backward_flop == first + second + 2 * third
    assert counts.parameters - counts.trainable_parameters == 5 * 7 + 7
    module.requires_grad_(False)
    frozen = tonne.count_module(module, torch.zeros(2, 3))
    assert frozen.backward_flop == 0
    assert frozen.notes == ("nothing in the output has a gradient: there is no backward pass.",)
    with pytest.raises(DescriptionError, match="backward_flop=0"):
        frozen.plan_section(examples=10)


def test_checkpointing_is_counted_as_executed():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())

        def forward(self, states):
            return checkpoint(self.inner, states, use_reentrant=False)

    once = 2 * 2 * 8 * 8
    counts = tonne.count_module(Checkpointed(), torch.zeros(2, 8))
    assert counts.forward_flop == 2 * once
    assert counts.backward_flop == 3 * once + 2 * once  # the last three gradients, and both layers once more


def test_compiled_modules_are_counted_as_what_was_compiled():
    compiled = torch.compile(nn.Linear(3, 5), backend="eager")
    inside = nn.Sequential(torch.compile(nn.Linear(3, 5), backend="eager"), nn.ReLU())
    plain = tonne.count_module(nn.Linear(3, 5), torch.zeros(2, 3))
    assert tonne.count_module(compiled, torch.zeros(2, 3)) == plain
    assert tonne.count_module(inside, torch.zeros(2, 3)).flop_by_module == {"": 120, "0": 120}


def test_unknown_work_is_named():
    class Fourier(nn.Module):
        def forward(self, x):
            return torch.linalg.inv(torch.fft.rfft(x).real)

    counts = tonne.count_module(Fourier(), torch.zeros(4, 6))
    assert counts.forward_flop == 0
    assert counts.uncounted == {"aten::_fft_r2c": 1, "aten::linalg_inv_ex": 1}
    assert counts.notes[0] == "nothing in the output has a gradient: there is no backward pass."
    assert counts.notes[1].startswith("no formula for aten::_fft_r2c, aten::linalg_inv_ex")


def test_somebody_elses_operator_is_named():
    @torch.library.custom_op("tonne_tests::secret", mutates_args=())
    def secret(x: torch.Tensor) -> torch.Tensor:
        return x @ x

    secret.register_fake(lambda x: torch.empty_like(x))

    class Secret(nn.Module):
        def forward(self, x):
            return secret(x)

    assert tonne.count_module(Secret(), torch.zeros(4, 4)).uncounted == {"tonne_tests::secret": 1}


class Looping(nn.Module):
    """As many layers as the numbers ask for."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, states):
        while states.abs().max() > 1:
            states = self.linear(states) * 0
        return self.linear(states)


def test_data_decides_only_where_there_is_data():
    counts = tonne.count_module(Looping(), torch.full((2, 8), 3.0))
    assert counts.forward_flop == 2 * 2 * 2 * 8 * 8
    assert counts.notes[0].startswith("run with numbers, in memory: without them it stops at DataDependent")
    said = r"Looping\(float32 tensor \(2, 8\)\) cannot be run: DataDependent.* Give the module in memory\."
    with pytest.raises(DescriptionError, match=said):
        tonne.count_module(Looping().to("meta"), torch.full((2, 8), 3.0))


def test_a_module_larger_than_memory():
    with torch.device("meta"):
        module = nn.Sequential(*(nn.Linear(60_000, 60_000, bias=False) for _ in range(20)))  # 288 GB
    counts = tonne.count_module(module, torch.zeros(1, 60_000))
    assert counts.parameters == 20 * 60_000**2
    assert counts.forward_flop == 2 * counts.parameters


class Keeper(nn.Module):
    """Keeps all kinds of state."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear, self.dropout = nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Dropout(0.5)
        self.calls, self.seen, self.constant = 0, [], torch.ones(8)

    def forward(self, states):
        self.calls += 1
        self.seen.append(random.random())
        self.constant += 1
        return self.dropout(self.linear(self.norm(states * self.constant)))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("with_numbers", [False, True])
def test_nothing_of_the_users_changes(mode, with_numbers):
    keeper = getattr(Keeper(), mode)()
    module = nn.Sequential(keeper, Looping()) if with_numbers else keeper
    keeper.linear.weight.grad = torch.ones(8, 8)
    hooked = []
    handle = keeper.linear.register_forward_hook(lambda *given: hooked.append(given))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    example = torch.randn(4, 8)
    kept, rng, python = example.clone(), torch.get_rng_state(), random.getstate()
    counts = tonne.count_module(module, example)
    assert any(note.startswith("hooks left out: test_nothing_of_the_users") for note in counts.notes)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert (keeper.calls, keeper.seen, hooked) == (0, [], [])
    assert torch.equal(keeper.constant, torch.ones(8))
    assert torch.equal(keeper.linear.weight.grad, torch.ones(8, 8))
    assert keeper.linear.bias.grad is None
    assert torch.equal(example, kept)
    assert torch.equal(torch.get_rng_state(), rng)
    assert random.getstate() == python
    assert keeper.training == (mode == "train")
    handle.remove()
    assert all(type(value) in {torch.Tensor, nn.Parameter} for value in [*module.parameters(), *module.buffers()])


def test_shared_parameters_count_once():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    assert tonne.count_module(module, torch.zeros(1, 4)).parameters == 4 * 4 + 4 + 4


def test_arguments_by_position_and_by_name():
    by_position = tonne.count_module(Head(), (torch.zeros(6, 8), torch.zeros(6, dtype=torch.long)))
    by_name = tonne.count_module(Head(), {"states": torch.zeros(6, 8), "targets": torch.zeros(6, dtype=torch.long)})
    assert by_position == by_name
    assert by_name.examples == 6
    assert tonne.count_module(nn.Linear(3, 5), torch.zeros(2, 3), examples=1).training_flop_per_example == 120


def test_loss_says_where_the_backward_pass_begins():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return {"left": self.left(x), "right": [self.right(x)]}

    once = 2 * 2 * 4 * 4
    assert tonne.count_module(Two(), torch.zeros(2, 4)).backward_flop == 2 * once
    assert tonne.count_module(Two(), torch.zeros(2, 4), loss=lambda out: out["left"].sum()).backward_flop == once
    with pytest.raises(DescriptionError, match="loss returned 3"):
        tonne.count_module(Two(), torch.zeros(2, 4), loss=lambda out: 3)


def test_errors_say_what_was_given():
    with pytest.raises(
        DescriptionError, match=r"Linear\(float32 tensor \(2, 4\)\) cannot be run: RuntimeError: .* 3x5"
    ):
        tonne.count_module(nn.Linear(3, 5), torch.zeros(2, 4))
    with pytest.raises(DescriptionError, match=r"example is 'x'\. Give what one call of the module takes: a tensor"):
        tonne.count_module(nn.Linear(3, 5), "x")
    with pytest.raises(DescriptionError, match=r"module is function, not a torch\.nn\.Module"):
        tonne.count_module(lambda x: x, torch.zeros(1))
    with pytest.raises(DescriptionError, match=r"weight has no shape yet\. Call the module once"):
        tonne.count_module(nn.LazyLinear(5), torch.zeros(2, 3))
    with pytest.raises(DescriptionError, match="the example holds 0 examples"):
        tonne.count_module(nn.Linear(3, 5), torch.zeros(0, 3))
    with pytest.raises(DescriptionError, match="keys of example must be names"):
        tonne.count_module(nn.Linear(3, 5), {1: torch.zeros(2, 3)})


def test_wrappers_are_taken_off():
    assert tonne.count_module(nn.DataParallel(nn.Linear(3, 5)), torch.zeros(2, 3)).forward_flop == 60


def test_embedding_bag_multiplies_no_matrices():
    counts = tonne.count_module(nn.EmbeddingBag(10, 4), torch.zeros(3, 5, dtype=torch.long))
    assert (counts.training_flop, counts.uncounted) == (0, {})


def test_bilinear_and_distances_by_hand():
    counts = tonne.count_module(nn.Bilinear(3, 4, 5), (torch.zeros(2, 3), torch.zeros(2, 4)))
    assert counts.forward_flop == counts.backward_flop == 2 * 2 * 5 * 3 * 4

    class Distances(nn.Module):
        def forward(self, x):
            return torch.cdist(x, x)

    assert tonne.count_module(Distances(), torch.zeros(30, 4)).forward_flop == 2 * 30 * 30 * (4 + 2)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_masked_padding_takes_the_fast_path_without_it():
    encoder = nn.TransformerEncoder(layer(), 2).eval()
    padded = torch.tensor([[False] * 4, [False] * 2 + [True] * 2])
    example = {"src": torch.zeros(2, 4, 8), "src_key_padding_mask": padded}
    counts = tonne.count_module(encoder, example, backward=False)
    matrices = 4 * 8 * 8 + 2 * 8 * 16
    assert counts.forward_flop == 2 * 2 * ((4 + 2) * matrices + 2 * (4 * 4 + 2 * 2) * 8)
    assert counts.uncounted == {}


def test_what_cannot_be_copied_is_shared():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.lock, self.kept = nn.Linear(3, 5), threading.Lock(), []

        def forward(self, x):
            with self.lock:
                self.kept.append(x)
            return self.linear(x)

    module = Locked()
    assert tonne.count_module(module, torch.zeros(2, 3)).training_flop == 120
    assert module.kept == []
    assert not module.lock.locked()


def test_a_module_that_takes_gradients_itself():
    class Gradient(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 5)

        def forward(self, x):
            x = x.requires_grad_()
            return torch.autograd.grad(self.linear(x).tanh().sum(), x, create_graph=True)[0]

    counts = tonne.count_module(Gradient(), torch.zeros(2, 3))
    assert counts.forward_flop == 2 * 2 * (2 * 3 * 5)  # the linear layer and the gradient of its input
    assert counts.flop_by_module == {"": counts.training_flop}
    assert counts.notes == ("the module takes gradients itself: its FLOP are not told apart by submodule.",)


def test_without_torch_the_error_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import tonne\ntry:\n    tonne.count_module\n"
    code += "except ImportError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().endswith("which is not installed. Run: pip install 'tonne[train]'")


def test_a_module_on_the_meta_device_may_make_tensors_on_the_processor():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.linear = nn.Embedding(9, 8), nn.Linear(8, 8)

        def forward(self, states):
            return self.linear(states + self.table(torch.arange(states.shape[1])))

    with torch.device("meta"):
        module = Positions()
    assert tonne.count_module(module, torch.zeros(2, 6, 8)).forward_flop == 2 * 2 * 6 * 8 * 8


def test_the_copy_without_numbers_takes_no_memory():
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    from tonne.model.shadow import hollow, module_copy

    module = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    module.unregistered = [nn.Parameter(torch.ones(2)), torch.ones(3)]
    module[0].bias.requires_grad_(False)
    twin, _ = module_copy(module, hollow(FakeTensorMode()))
    tensors = [*twin.parameters(), *twin.buffers(), *twin.unregistered]
    assert all(isinstance(tensor, FakeTensor) for tensor in tensors)
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in module.parameters()]
    assert isinstance(twin.unregistered[0], nn.Parameter)


@pytest.mark.filterwarnings("ignore")
def test_flex_attention_fills_the_square():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")

    class Flexible(nn.Module):
        def forward(self, states):
            return flex.flex_attention(states, states, states)

    counts = tonne.count_module(Flexible(), torch.zeros(1, 2, 128, 16), backward=False)
    assert counts.flop_by_operation == {"higher_order::flex_attention": 2 * 2 * 2 * 128 * 128 * 16}


def test_a_branch_that_numbers_choose_is_named():
    class Branching(nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x @ x, lambda x: x @ x @ x, (x,))

    assert tonne.count_module(Branching(), torch.ones(3, 3), backward=False).uncounted == {"higher_order::cond": 1}
