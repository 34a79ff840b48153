"""The model holds as many numbers, and executes as many FLOP, as count says: to the integer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.count.flops import executed_flop  # noqa: E402
from tonne.count.parameters import parameters  # noqa: E402
from tonne.count.sequence import Sequence  # noqa: E402
from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.dispatch import Counting  # noqa: E402

LENGTH, SOURCE = 7, 9
OF_FAMILIES = (
    "transformer-base",
    "bert-base-uncased",
    "modernbert-base",
    "gpt2-small",
    "opt-350m",
    "gpt-neo-125m",
    "pythia-160m",
    "gpt-j-6b",
    "falcon-7b",
    "bloom-560m",
    "llama-3-8b",
    "gemma-2-2b",
    "olmo-2-7b",
    "apertus-8b",
    "mixtral-8x7b",
    "gpt-oss-20b",
    "deepseek-v2-236b",
    "deepseek-v3-671b",
    "lamda-137b",
    "t5-base",
    "bart-base",
    "marian-base-en-de",
    "switch-base-128",
)


def held(architecture):
    return sum(p.numel() for p in Transformer(architecture, device="meta").parameters())


@pytest.mark.slow
def test_every_preset_holds_as_many_numbers_as_count_says():
    for preset in Architecture.preset_ids():
        architecture = Architecture.preset(preset)
        assert held(architecture) == parameters(architecture), preset


@pytest.mark.parametrize("preset", [*OF_FAMILIES, "albert-base", "deberta-v3-small", "gopher-44m", "palm-8b"])
def test_families_hold_as_many_numbers_as_count_says(small, preset):
    assert held(small(preset)) == parameters(small(preset))


@pytest.mark.parametrize(
    "more",
    [
        {"prediction_head": True, "next_sentence_head": True, "pooler": True, "head_bias": True},
        {"tied_embeddings": False, "head_bias": True, "prediction_head": True, "prediction_output_bias": False},
        {"task_head": {"labels": 5, "dense": True, "norm": True}, "pooler": True},
        {"bias": ["query", "value"]},
        {"bias": ["key", "value", "output"]},
        {"query_key_norm": "each-head"},
        {"norm_position": "both", "idle_cross_attention": True},
        {"relative_rows": 10, "relative_projections": 2, "relative_projection_biases": 1, "relative_norm": True},
        {"convolution_width": 3, "convolution_groups": 4},
        {"embedding_width": 16, "embedding_projection_bias": True, "prediction_head": True},
        {"embedding_width": 16, "embedding_norm_projected": True, "output_projection": True},
        {"shared_layers": True, "distinct_layers": 2, "layers": 4},
        {"token_tables": 3, "relative_buckets": 8, "relative_per_layer": True},
        {"norm": "rms", "norm_bias": False, "first_norm": False, "norm_position": "pre", "final_norm": True},
        {"experts": {"count": 3, "per_token": 1, "shared": 2, "shared_bias": True, "shared_gate": True}},
        {"experts": {"count": 3, "per_token": 2, "bias": True, "router_bias": True, "router_correction": True}},
        {"activation": "xielu", "activation_weights": 2, "experts": {"count": 3, "per_token": 2, "shared": 2}},
    ],
    ids=lambda more: ",".join(more),
)
def test_what_families_add_holds_as_many_numbers_as_count_says(small, more):
    architecture = small("bert-base-uncased", **more)
    assert held(architecture) == parameters(architecture)


def test_layers_that_predict_later_tokens_hold_as_many_numbers_as_count_says(small):
    for preset in ("llama-3-8b", "deepseek-v3-671b"):
        architecture = small(preset, multi_token_layers=2)
        assert held(architecture) == parameters(architecture)


def test_tables_of_two_vocabularies_hold_as_many_numbers_as_count_says(small):
    architecture = small("marian-base-en-de", token_tables=2, decoder_vocabulary=53)
    assert held(architecture) == parameters(architecture)
    assert Transformer(architecture).logits(torch.tensor([[52]]), source=torch.tensor([[96]])).shape == (1, 1, 53)


def executed(model, tokens, targets, **more):
    """FLOP that torch executes for one loss and its gradients, less what the fused kernel repeats."""
    counting = Counting(None)
    with counting:
        loss = model.loss(tokens, targets, **more)
        counting.now = "backward"
        loss.backward()
    assert not counting.uncounted
    return sum(counting.passes.values())


@pytest.mark.parametrize("preset", OF_FAMILIES)
def test_a_step_executes_as_many_flop_as_count_says(small, preset):
    torch.manual_seed(0)
    architecture = small(preset)
    model, tokens = Transformer(architecture), torch.randint(0, 97, (2, LENGTH))
    lengths, more = {"decoder_length": LENGTH, "predicted": LENGTH}, {}
    if architecture.kind == "encoder":
        lengths = {"encoder_length": LENGTH, "predicted": LENGTH}
    if architecture.kind == "encoder-decoder":
        lengths, more = lengths | {"encoder_length": SOURCE}, {"source": torch.randint(0, 97, (2, SOURCE))}
    assert executed(model, tokens, tokens, **more) == 2 * executed_flop(architecture, Sequence(**lengths))


@pytest.mark.parametrize("preset", ["gpt2-small", "bert-base-uncased", "t5-base", "mixtral-8x7b"])
def test_layers_computed_twice_execute_as_many_flop_as_count_says(small, preset):
    from torch.utils.checkpoint import set_checkpoint_early_stop  # noqa: PLC0415

    architecture = small(preset)
    model, tokens, more = Transformer(architecture), torch.randint(0, 97, (2, LENGTH)), {}
    model.recompute_layers()
    lengths = {"decoder_length": LENGTH, "predicted": LENGTH}
    if architecture.kind == "encoder":
        lengths = {"encoder_length": LENGTH, "predicted": LENGTH}
    if architecture.kind == "encoder-decoder":
        lengths, more = lengths | {"encoder_length": LENGTH}, {"source": tokens}
    counted = executed_flop(architecture, Sequence(**lengths), recomputation="full")
    with set_checkpoint_early_stop(False):
        assert executed(model, tokens, tokens, **more) == 2 * counted


def test_logits_are_computed_where_something_is_predicted_only(small):
    architecture = small("bert-base-uncased", prediction_head=True, pooler=False)
    tokens = torch.randint(0, 97, (1, LENGTH))
    targets = torch.full_like(tokens, -100)
    targets[0, 2], targets[0, 5] = 11, 12
    counted = executed_flop(architecture, Sequence(encoder_length=LENGTH, predicted=2))
    assert executed(Transformer(architecture), tokens, targets) == counted


def test_a_shared_layer_executes_as_often_as_it_runs(small):
    architecture = small("albert-base", layers=3, prediction_head=True, pooler=False)
    tokens = torch.randint(0, 97, (1, LENGTH))
    counted = executed_flop(architecture, Sequence(encoder_length=LENGTH, predicted=LENGTH))
    assert executed(Transformer(architecture), tokens, tokens) == counted


def test_tables_of_relative_positions_cost_their_projections_besides(small):
    # the projections of a table are made once a batch, and count leaves them out; DeBERTa's: its 12 rows into queries
    # and keys of either layer, 2 x 2 x 12 x 32 x 32 multiply-adds, three times with both gradients
    deberta, tokens = small("deberta-v3-small"), torch.randint(0, 97, (2, LENGTH))
    counted = 2 * executed_flop(deberta, Sequence(encoder_length=LENGTH, predicted=LENGTH))
    assert executed(Transformer(deberta), tokens, tokens) == counted + 3 * 2 * 2 * 2 * 12 * 32 * 32
    # Gopher's: sinusoids of 7 distances into 32 features in either layer; sinusoids take no gradient, so twice
    gopher = small("gopher-44m")
    counted = 2 * executed_flop(gopher, Sequence(decoder_length=LENGTH, predicted=LENGTH))
    assert executed(Transformer(gopher), tokens, tokens) == counted + 2 * 2 * 2 * 7 * 32 * 32


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"parallel_blocks": True, "norm_position": "post"}, "parallel_blocks with norm_position='post'"),
        ({"shared_block_norm": True}, "shared_block_norm without parallel_blocks"),
        ({"multi_token_layers": 1}, "multi_token_layers without a decoder"),
        ({"swiglu_limit": 7.0}, "swiglu_limit without experts"),
    ],
)
def test_what_is_not_built_is_refused(small, more, text):
    with pytest.raises(DescriptionError, match=f"{text} can be counted, but not built"):
        Transformer(small("bert-base-uncased", **more), device="meta")


def test_a_model_on_the_meta_device_is_counted_by_dispatch(small):
    from tonne.model import count_module  # noqa: PLC0415

    architecture = small("gpt2-small")
    counts = count_module(Transformer(architecture, device="meta"), torch.zeros(1, LENGTH, dtype=torch.long))
    flop = executed_flop(architecture, Sequence(decoder_length=LENGTH, predicted=LENGTH))
    assert counts.parameters == parameters(architecture)
    assert counts.forward_flop + counts.backward_flop == flop
