"""Low-rank adapters: what they change, how many numbers they learn, and that merged they are gone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.count.finetuning import Learning, trainable_parameters  # noqa: E402 - after the check that torch is there
from tonne.describe.adapters import Lora  # noqa: E402
from tonne.describe.architecture import Architecture  # noqa: E402
from tonne.errors import DescriptionError, WeightsError  # noqa: E402
from tonne.model.transformer import Transformer  # noqa: E402
from tonne.train.freezing import freeze, learning  # noqa: E402
from tonne.train.lora import add_adapters, has_adapters, load_adapters, merge_adapters, save_adapters  # noqa: E402

SHAPE = {"width": 24, "heads": 4, "vocabulary": 50}
LEARNED = {"positions": "learned", "max_positions": 16}
ENCODER = Architecture(kind="encoder", layers=3, embedding_norm=True, token_types=2, pooler=True,
                       task_head={"labels": 3}, **LEARNED, **SHAPE)  # fmt: skip
DECODER = Architecture(kind="decoder", layers=3, **LEARNED, **SHAPE)
GROUPED = Architecture(kind="decoder", layers=2, positions="rotary", norm="rms", bias=("query", "key", "value"),
                       kv_heads=2, feed_forward="gated", feed_forward_width=40, tied_embeddings=False,
                       **SHAPE)  # fmt: skip
BOTH = Architecture(kind="encoder-decoder", encoder_layers=2, decoder_layers=3, positions="relative",
                    relative_buckets=8, norm="rms", norm_position="pre", bias=False, feed_forward="gated",
                    **SHAPE)  # fmt: skip
SHAPES = {"encoder": ENCODER, "decoder": DECODER, "grouped": GROUPED, "both": BOTH}
ALL = ("query", "key", "value", "output", "feed_forward")
TARGETS = [("query", "value"), ("value",), ("key",), ("output", "feed_forward"), ALL]
TOKENS = torch.arange(14).reshape(2, 7)


def model_of(name):
    torch.manual_seed(1)
    return Transformer(SHAPES[name], dtype=torch.float64).eval()


def states_of(model):
    source = {"source": TOKENS[:, :5]} if model.architecture.kind == "encoder-decoder" else {}
    return model.states(TOKENS, **source)


def moved_away(model):
    """Adapters as training might leave them: so far from zero that they matter."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("expand"):
                parameter.normal_(std=1.0)


@pytest.mark.parametrize("targets", TARGETS, ids="-".join)
@pytest.mark.parametrize("name", SHAPES)
def test_adapters_begin_as_nothing_and_merge_into_the_weights(name, targets):
    model = model_of(name)
    before, names = states_of(model), [n for n, _ in model.named_parameters()]
    add_adapters(model, Lora(rank=3, alpha=6, targets=targets))
    torch.testing.assert_close(states_of(model), before, rtol=0, atol=1e-12)
    moved_away(model)
    after = states_of(model)
    assert not torch.allclose(after, before, atol=1e-3)
    merge_adapters(model)
    torch.testing.assert_close(states_of(model), after, rtol=0, atol=1e-9)
    assert [n for n, _ in model.named_parameters()] == names
    assert not has_adapters(model)


@pytest.mark.parametrize("targets", TARGETS, ids="-".join)
@pytest.mark.parametrize("name", SHAPES)
def test_as_many_numbers_learn_as_are_counted(name, targets):
    model, lora = model_of(name), Lora(rank=3, targets=targets)
    add_adapters(model, lora)
    assert learning(model)[0] == trainable_parameters(SHAPES[name], Learning(lora=lora))


def test_an_adapter_by_hand():
    # rank 1, alpha 2: W' = W + 2 b a^T at the rows of the values alone
    model = model_of("decoder")
    linear = model.decoder.layers[0].attention.query_key_value
    before = linear.weight.detach().clone()
    add_adapters(model, Lora(rank=1, alpha=2, targets=("value",)))
    adapter = model.decoder.layers[0].attention.query_key_value.adapters["value"]
    with torch.no_grad():
        adapter.reduce.fill_(0.5)
        adapter.expand.fill_(3.0)
    merge_adapters(model)
    change = model.decoder.layers[0].attention.query_key_value.weight - before
    assert torch.equal(change[:48], torch.zeros_like(change[:48]))
    torch.testing.assert_close(change[48:], torch.full_like(change[48:], 3.0))


def test_adapters_alone_are_kept_and_read_again(tmp_path):
    model, lora = model_of("encoder"), Lora(rank=2, targets=ALL)
    add_adapters(model, lora)
    moved_away(model)
    with torch.no_grad():
        model.task.output.weight.fill_(0.25)  # the head learns beside them
    save_adapters(model, lora, tmp_path)
    other = model_of("encoder")
    assert load_adapters(other, tmp_path) == lora
    assert torch.equal(states_of(other), states_of(model))
    assert torch.equal(other.task.output.weight, model.task.output.weight)


def test_adapters_of_another_model_are_refused(tmp_path):
    model, lora = model_of("encoder"), Lora(rank=2)
    add_adapters(model, lora)
    save_adapters(model, lora, tmp_path)
    with pytest.raises(WeightsError, match="belong to another model"):
        load_adapters(model_of("decoder"), tmp_path)
    with pytest.raises(WeightsError, match="holds no adapters"):
        load_adapters(model_of("encoder"), tmp_path / "elsewhere")


def test_what_takes_no_adapter_says_so():
    latent = {"kv_rank": 6, "query_rank": 10, "rotary_width": 4, "plain_width": 5, "value_width": 7}
    a = Architecture(kind="decoder", layers=1, latent_attention=latent, **SHAPE)
    with pytest.raises(DescriptionError, match="latent attention is counted by tonne forecast"):
        add_adapters(Transformer(a), Lora(rank=2))


@pytest.mark.parametrize(("name", "layers"), [
    ("encoder", 1), ("encoder", 3), ("decoder", 1), ("decoder", 3), ("grouped", 1), ("grouped", 2),
    ("both", 1), ("both", 2), ("both", 4), ("both", 5),
])  # fmt: skip
def test_frozen_layers_are_those_that_are_counted(name, layers):
    model = model_of(name)
    freeze(model, layers)
    assert learning(model)[0] == trainable_parameters(SHAPES[name], Learning(frozen_layers=layers))
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert any("layers.0." in name for name in frozen)
    assert "embedding.tokens.weight" in frozen


def test_more_frozen_layers_than_there_are():
    with pytest.raises(DescriptionError, match="but the model has 3 that can be frozen"):
        freeze(model_of("decoder"), 4)
    bare = Transformer(ENCODER.model_copy(update={"pooler": False, "task_head": None}))
    with pytest.raises(DescriptionError, match="leaves nothing that learns"):
        freeze(bare, 3)
