"""What must hold for every architecture."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonne.count.adapters import adapter_multiply_adds
from tonne.count.finetuning import Kernel, Learning, trainable_parameters, training_flop
from tonne.count.flops import executed_flop, forward_flop_parts, model_flop
from tonne.count.memory import memory_per_accelerator
from tonne.count.parameters import active_parameters, parameter_parts, parameters
from tonne.count.sequence import sequence_of
from tonne.count.workload import counts_of
from tonne.describe.adapters import Lora
from tonne.describe.architecture import Architecture


@st.composite
def fields(draw):
    kind = draw(st.sampled_from(["encoder", "decoder", "encoder-decoder"]))
    names = ("encoder_layers", "decoder_layers") if kind == "encoder-decoder" else ("layers",)
    heads = draw(st.sampled_from([1, 2, 4, 8]))
    found = {name: draw(st.integers(1, 20)) for name in names}
    found |= {"kind": kind, "heads": heads, "width": heads * draw(st.integers(1, 40))}
    found["kv_heads"] = draw(st.sampled_from([n for n in (1, 2, 4, 8) if heads % n == 0]))
    found["vocabulary"] = draw(st.integers(0, 1000))
    found["feed_forward"] = draw(st.sampled_from(["plain", "gated"]))
    found["bias"] = draw(st.booleans())
    found["tied_embeddings"] = draw(st.booleans())
    found["attention_window"] = draw(st.none() | st.integers(1, 200))
    return found


LENGTH = st.integers(1, 300)


@given(fields(), LENGTH)
def test_a_layer_more_never_lowers_flop_or_parameters(given_fields, length):
    name = "decoder_layers" if given_fields["kind"] == "encoder-decoder" else "layers"
    small = Architecture.model_validate(given_fields)
    large = Architecture.model_validate(given_fields | {name: given_fields[name] + 1})
    sequence = sequence_of(small, sequence_length=length)
    assert model_flop(large, sequence) > model_flop(small, sequence)
    assert parameters(large) > parameters(small)


@given(fields(), LENGTH)
def test_a_wider_model_never_takes_less(given_fields, length):
    small = Architecture.model_validate(given_fields)
    large = Architecture.model_validate(given_fields | {"width": given_fields["width"] + given_fields["heads"]})
    sequence = sequence_of(small, sequence_length=length)
    assert model_flop(large, sequence) > model_flop(small, sequence)
    assert parameters(large) > parameters(small)


@given(fields(), LENGTH)
def test_no_kernel_executes_less_than_the_model_asks_for(given_fields, length):
    architecture = Architecture.model_validate(given_fields)
    sequence = sequence_of(architecture, sequence_length=length)
    asked = model_flop(architecture, sequence)
    assert executed_flop(architecture, sequence, flash_attention=True) >= asked
    none = executed_flop(architecture, sequence)
    selective = executed_flop(architecture, sequence, recomputation="selective")
    assert asked <= none <= selective <= executed_flop(architecture, sequence, recomputation="full")


@pytest.mark.parametrize("preset", Architecture.preset_ids())
def test_parts_sum_to_the_whole_and_active_is_no_more(preset):
    architecture = Architecture.preset(preset)
    assert sum(parameter_parts(architecture).values()) == parameters(architecture)
    assert active_parameters(architecture) <= parameters(architecture)


@given(fields(), LENGTH, st.integers(1, 10**12))
def test_arrays_give_what_numbers_give(given_fields, length, tokens):
    architecture = Architecture.model_validate(given_fields)
    arrays = {
        name: np.array([value, value], dtype=np.float64)
        for name, value in dict(architecture).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    many = SimpleNamespace(**(dict(architecture) | arrays))
    one = counts_of(architecture, tokens=tokens, sequence_length=length)
    both = counts_of(
        many, tokens=np.array([tokens, tokens], dtype=np.float64), sequence_length=np.full(2, 1.0 * length)
    )
    for name in ("parameters", "active_parameters", "matmul_parameters", "training_flop_per_token"):
        assert getattr(both, name) == pytest.approx([getattr(one, name)] * 2, rel=1e-12)
    assert both.training_flop == pytest.approx([one.training_flop] * 2, rel=1e-12, abs=1)
    memory = memory_per_accelerator(architecture, sequence_length=length).total_bytes
    assert memory_per_accelerator(many, sequence_length=length).total_bytes == pytest.approx([memory] * 2)


TARGETS = st.sets(st.sampled_from(["query", "key", "value", "output", "feed_forward"]), min_size=1)


@given(fields(), LENGTH, st.integers(1, 64), TARGETS)
def test_adapters_take_between_a_forward_pass_and_all_of_training(given_fields, length, rank, targets):
    architecture = Architecture.model_validate(given_fields)
    sequence = sequence_of(architecture, sequence_length=length)
    lora = Lora(rank=rank, targets=tuple(targets))
    flop = training_flop(architecture, sequence, Learning(lora=lora))
    sides = {"encoder": (False,), "decoder": (True,), "encoder-decoder": (False, True)}[architecture.kind]
    adapters = sum(2 * adapter_multiply_adds(architecture, sequence, lora, decoder=side) for side in sides)
    forward = sum(forward_flop_parts(architecture, sequence).values()) + adapters
    assert forward < flop <= model_flop(architecture, sequence) + 3 * adapters


@given(fields(), LENGTH, st.integers(1, 64), TARGETS)
def test_a_target_or_a_rank_more_never_lowers_what_learns_or_flop(given_fields, length, rank, targets):
    architecture = Architecture.model_validate(given_fields)
    sequence = sequence_of(architecture, sequence_length=length)
    small = Learning(lora=Lora(rank=rank, targets=tuple(targets)))
    others = (Lora(rank=rank + 1, targets=tuple(targets)), Lora(rank=rank, targets=tuple(targets | {"output", "key"})))
    for large in (Learning(lora=lora) for lora in others):
        assert trainable_parameters(architecture, small) <= trainable_parameters(architecture, large)
        assert training_flop(architecture, sequence, small) <= training_flop(architecture, sequence, large)


@given(fields(), LENGTH, st.sampled_from(["none", "selective", "full"]), st.booleans())
def test_freezing_a_layer_more_never_takes_more(given_fields, length, recomputation, flash):
    architecture = Architecture.model_validate(given_fields | {"norm_position": "pre"})
    sequence = sequence_of(architecture, sequence_length=length)
    kernel = Kernel(square=not flash, flash_attention=flash, recomputation=recomputation)
    last = executed_flop(architecture, sequence, recomputation=recomputation, flash_attention=flash)
    numbers = parameters(architecture)
    whole = sum(given_fields.get(name) or 0 for name in ("layers", "encoder_layers", "decoder_layers"))
    for layers in range(1, whole + 1):
        learning = Learning(frozen_layers=layers)
        flop, learned = (
            training_flop(architecture, sequence, learning, kernel),
            trainable_parameters(architecture, learning),
        )
        assert flop <= last
        assert learned < numbers
        last, numbers = flop, learned
