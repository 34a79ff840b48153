"""The model as a whole: heads, losses, dropout, what it starts from, and what it refuses."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.loss import linear_cross_entropy  # noqa: E402


def model_of(architecture, **more):
    torch.manual_seed(0)
    return Transformer(architecture, dtype=torch.float64, **more)


def ids(batch, length):
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("gpt2-small", {}),
        ("bert-base-uncased", {"prediction_head": True, "tied_embeddings": False, "head_bias": True}),
        ("opt-350m", {}),
        ("gemma-2-2b", {"output_softcap": 3.0}),
        ("llama-3-8b", {"output_scale": 0.25}),
        ("phi-2", {"output_scale": 0.5}),
    ],
)
def test_the_loss_is_the_cross_entropy_of_the_logits(small, preset, more):
    model, tokens = model_of(small(preset, **more)), ids(2, 6)
    targets = ids(2, 6).roll(1, 1)
    targets[0, :3] = -100
    wanted = functional.cross_entropy(model.logits(tokens).flatten(0, 1), targets.flatten())
    assert model.loss(tokens, targets).item() == pytest.approx(wanted.item(), abs=1e-12)
    assert model(tokens, targets=targets).item() == pytest.approx(wanted.item(), abs=1e-12)
    assert (model(tokens) - model.logits(tokens)).abs().max() == 0


def test_parts_of_the_output_give_the_loss(small):
    model, tokens = model_of(small("bert-base-uncased", prediction_head=True)), ids(2, 6)
    states = model.before_output(model.states(tokens)).flatten(0, 1)
    weight, bias = model.output_table()
    loss = linear_cross_entropy(states, weight, tokens.flatten(), bias)
    assert loss.item() == pytest.approx(model.loss(tokens, tokens).item(), abs=1e-12)
    assert weight is model.embedding.tokens.weight


def test_a_fresh_model_finds_all_tokens_alike(small):
    # logits near zero: -log P = ln 97
    for preset in ("gpt2-small", "llama-3-8b", "bert-base-uncased", "bart-base"):
        model, tokens = model_of(small(preset)), ids(4, 16)
        more = {"source": ids(4, 8)} if preset == "bart-base" else {}
        assert model.loss(tokens, tokens.roll(1, 1), **more).item() == pytest.approx(math.log(97), abs=0.15)


def test_the_pooler_reads_the_first_real_token(small):
    model = model_of(small("bert-base-uncased", next_sentence_head=True))
    states = torch.randn(2, 5, 32, dtype=torch.float64)
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    wanted = torch.tanh(states[[0, 1], [1, 0]] @ model.pooler.dense.weight.T + model.pooler.dense.bias)
    assert (model.pooled(states, mask) - wanted).abs().max() <= 1e-15
    scores = wanted @ model.next_sentence.weight.T + model.next_sentence.bias
    assert (model.next_sentence_logits(states, mask) - scores).abs().max() <= 1e-15


def test_a_decoder_labels_a_sequence_by_its_last_real_token(small):
    model = model_of(small("gpt2-small", task_head={"labels": 3, "bias": False}))
    states = torch.randn(2, 4, 32, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    wanted = states[[0, 1], [1, 3]] @ model.task.output.weight.T
    assert (model.labels(states, mask) - wanted).abs().max() <= 1e-15
    assert (model.labels(states) - states[:, -1] @ model.task.output.weight.T).abs().max() <= 1e-15


def test_tokens_are_labelled_and_spans_found(small):
    model = model_of(small("bert-base-uncased", pooler=False, task_head={"labels": 2}))
    states = torch.randn(1, 4, 32, dtype=torch.float64)
    scores = states @ model.task.output.weight.T + model.task.output.bias
    assert (model.token_labels(states) - scores).abs().max() <= 1e-15
    start, end = model.span(states, torch.tensor([[1, 1, 1, 0]]))
    assert (start[:, :3] - scores[:, :3, 0]).abs().max() <= 1e-15
    assert (end[:, :3] - scores[:, :3, 1]).abs().max() <= 1e-15
    assert start.softmax(-1)[0, 3] == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m, s: m.pooled(s), "no pooler: its Architecture leaves out pooler"),
        (lambda m, s: m.labels(s), "no head for labels: its Architecture leaves out task_head"),
        (lambda m, s: m.next_sentence_logits(s), "no next-sentence head"),
        (lambda m, s: m.encode(s), "a decoder has no encoder"),
    ],
)
def test_a_head_that_is_missing_is_named(small, call, text):
    with pytest.raises(DescriptionError, match=text):
        call(model_of(small("gpt2-small")), torch.randn(1, 4, 32, dtype=torch.float64))


def test_dropout_acts_while_training_only(small):
    model, tokens = model_of(small("gpt2-small"), dropout=0.5), ids(2, 6)
    plain = model_of(small("gpt2-small"))
    assert (model.eval().logits(tokens) - plain.logits(tokens)).abs().max() <= 1e-15
    model.train()
    assert (model.logits(tokens) - plain.logits(tokens)).abs().max() > 1e-3
    assert (model.logits(tokens) - model.logits(tokens)).abs().max() > 1e-3


def test_attentions_dropout_is_its_own(small):
    model, tokens = model_of(small("llama-3-8b"), dropout=0.0, attention_dropout=0.5), ids(2, 6)
    first = model.train().logits(tokens)
    assert (first - model.logits(tokens)).abs().max() > 1e-6
    assert model.decoder.layers[0].attention.dropout == 0.5
    assert model.decoder.layers[0].dropout == 0.0


def test_weights_start_small_and_branches_smaller_with_depth(small):
    model = model_of(small("gpt2-small", width=256, feed_forward_width=1024, head_width=64, layers=8))
    layer = model.decoder.layers[0]
    assert layer.feed_forward.up.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert layer.feed_forward.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)  # sqrt(2 x 8)
    assert layer.attention.output.weight.std().item() == pytest.approx(0.02 / 4, rel=0.02)
    assert layer.attention.query_key_value.bias.abs().max() == 0
    post = model_of(small("bert-base-uncased", width=256, feed_forward_width=1024, head_width=64))
    assert post.encoder.layers[0].feed_forward.down.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_queries_start_smaller_where_scores_are_not_scaled(small):
    model = model_of(small("t5-base", width=256, head_width=64, attention_scale=1.0))
    rows = model.encoder.layers[0].attention.query_key_value.weight
    assert rows[:256].std().item() == pytest.approx(0.02 / 8, rel=0.03)  # 1 against 1 / sqrt(64)
    assert rows[256:].std().item() == pytest.approx(0.02, rel=0.03)


def test_weights_are_drawn_anew(small):
    model = model_of(small("mixtral-8x7b"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.reset_parameters()
    assert model.decoder.layers[0].experts.up.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.decoder.final_norm.weight.min() == 1


FAMILIES = ("gpt2-small", "t5-base", "deepseek-v3-671b", "gemma-2-2b", "deberta-v3-small", "albert-base")


def loss_and_gradients(model, tokens):
    """Loss of a model in its present mode, and its gradients by name."""
    model.zero_grad()
    more = {"source": tokens} if model.architecture.kind == "encoder-decoder" else {}
    loss = model.loss(tokens, tokens.roll(1, 1), **more)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("preset", FAMILIES)
def test_layers_computed_twice_give_the_same_gradients(small, preset):
    architecture = small(preset, prediction_head=True) if preset == "albert-base" else small(preset)
    model, tokens = model_of(architecture).train(), ids(2, 6)
    kept = loss_and_gradients(model, tokens)
    model.recompute_layers()
    again = loss_and_gradients(model, tokens)
    assert again[0] == pytest.approx(kept[0], abs=1e-14)
    assert again[1].keys() == kept[1].keys()
    for name, gradient in kept[1].items():
        assert (again[1][name] - gradient).abs().max() <= 1e-14, name


@pytest.mark.parametrize("preset", FAMILIES)
def test_autocast_and_narrow_weights_give_nearly_the_same_loss(small, preset):
    architecture = small(preset, prediction_head=True) if preset == "albert-base" else small(preset)
    model, tokens = model_of(architecture).float().eval(), ids(2, 6)
    exact, _ = loss_and_gradients(model, tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, gradients = loss_and_gradients(model, tokens)
    assert mixed == pytest.approx(exact, abs=0.01)
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
    narrow, _ = loss_and_gradients(model.bfloat16(), tokens)
    assert narrow == pytest.approx(exact, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset", ["gpt2-small", "llama-3-8b", "gemma-2-2b", "modernbert-base", "t5-base", "bart-base"]
)
def test_a_model_is_one_graph_for_torch_compile(small, preset):
    architecture = small(preset)
    model, tokens = model_of(architecture).eval(), ids(2, 6)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    more = {"source": tokens, "source_mask": mask} if architecture.kind == "encoder-decoder" else {"mask": mask}
    torch._dynamo.reset()
    whole = torch.compile(model.states, backend="aot_eager", fullgraph=True)
    assert (whole(tokens, **more) - model.states(tokens, **more))[mask.bool()].abs().max() <= 1e-12


def test_later_tokens_are_learnt_while_training(small):
    model, tokens = model_of(small("llama-3-8b", multi_token_layers=1)), ids(2, 6)
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    plain = model.eval().loss(tokens, targets)
    model.train()
    states, sight = model._run(tokens, None, _inputs())
    further = model.multi_token[0]
    vectors = model.embedding.tokens(tokens[:, 1:])  # of the next tokens
    both = torch.cat([further.state_norm(states[:, :-1]), further.token_norm(vectors)], -1)
    deeper = further.projection(both)
    sight.turn = tuple(part[:, :-1] for part in sight.turn)
    deeper = further.final_norm(further.layer(deeper, sight))
    logits = deeper @ model.output_table()[0].T
    later = functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:-1].flatten())
    assert model.loss(tokens, targets).item() == pytest.approx((plain + 0.3 * later).item(), abs=1e-12)


def _inputs():
    from tonne.model.inputs import Inputs  # noqa: PLC0415

    return Inputs()


def test_sources_belong_to_encoder_decoders(small):
    with pytest.raises(DescriptionError, match="source was given, but a decoder reads one sequence"):
        model_of(small("gpt2-small")).logits(ids(1, 3), source=ids(1, 3))
    with pytest.raises(DescriptionError, match="needs its source"):
        model_of(small("t5-base")).logits(ids(1, 3))


def test_segments_and_vectors_need_their_tables(small):
    with pytest.raises(DescriptionError, match="token_types=0"):
        model_of(small("gpt2-small")).logits(ids(1, 3), token_types=torch.zeros(1, 3, dtype=torch.long))
    without = model_of(small("bert-base-uncased", vocabulary=0, token_types=0))
    with pytest.raises(DescriptionError, match="vocabulary=0, so tokens must be vectors"):
        without.states(ids(1, 3))
    with pytest.raises(DescriptionError, match="vocabulary=0: there are no logits"):
        without.logits(torch.randn(1, 3, 32, dtype=torch.float64))


def test_a_narrow_table_needs_a_way_back(small):
    with pytest.raises(DescriptionError, match=r"states leave 32 wide, but the output table .* is 16 wide"):
        model_of(small("albert-base")).logits(ids(1, 3))


def test_unknown_names_of_the_room_say_what_there_is():
    import tonne.model  # noqa: PLC0415

    with pytest.raises(AttributeError, match=r"no attribute 'Tranformer'\. Public names: Transformer"):
        tonne.model.Tranformer  # noqa: B018  # the access is the test
