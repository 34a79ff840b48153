"""Who sees whom: padding, packing, windows and prefixes change nothing that they should not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tonne.errors import DescriptionError  # noqa: E402
from tonne.model import Transformer  # noqa: E402
from tonne.model.masks import Tokens, seen  # noqa: E402

DECODERS = ("gpt2-small", "llama-3-8b", "bloom-560m", "gopher-44m", "gemma-2-2b", "gpt-oss-20b", "deepseek-v2-236b")
ENCODERS = ("bert-base-uncased", "modernbert-base", "deberta-v3-small", "albert-base")
BOTH = ("t5-base", "bart-base", "transformer-base")


def model_of(architecture, seed=0):
    torch.manual_seed(seed)
    model = Transformer(architecture.model_copy(update={"initial_std": 0.3}), dtype=torch.float64)
    return model.eval()


def ids(batch, length, seed=1):
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(seed))


def rows(sees, queries, keys):
    plain = sees.written(queries, keys, torch.device("cpu"))
    return plain.allowed.int().expand(-1, 1, queries, keys)[:, 0].tolist()


def of(**known):
    return Tokens(device=torch.device("cpu"), **known)


def test_a_causal_mask_without_padding_needs_no_tensor():
    sees = seen(of(queries=3), causal=True, window=None)
    assert sees.causal
    assert sees.allowed is None
    assert rows(sees, 3, 3) == [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]


def test_padding_on_the_right_is_hidden_by_a_causal_mask_already():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    assert seen(of(queries=3, mask=mask), causal=True, window=None).allowed is None


def test_padding_on_the_left_is_not_seen_but_by_itself():
    mask = torch.tensor([[0, 1, 1]]).bool()
    sees = seen(of(queries=3, mask=mask), causal=True, window=None)
    assert rows(sees, 3, 3) == [[[1, 0, 0], [0, 1, 0], [0, 1, 1]]]


def test_a_causal_window_holds_the_token_and_those_before():
    assert rows(seen(of(queries=4), causal=True, window=2), 4, 4) == [
        [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    ]


def test_an_encoders_window_reaches_half_to_either_side():
    assert rows(seen(of(queries=4), causal=False, window=2), 4, 4) == [
        [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    ]


def test_documents_do_not_see_one_another():
    documents = torch.tensor([[7, 7, 9]])
    assert rows(seen(of(queries=3, documents=documents), causal=True, window=None), 3, 3) == [
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    ]


def test_the_tokens_of_a_prefix_see_one_another():
    sees = seen(of(queries=3, prefix=torch.tensor([2, 0])), causal=True, window=None)
    assert rows(sees, 3, 3) == [[[1, 1, 0], [1, 1, 0], [1, 1, 1]], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]]


def test_a_prefix_with_a_window_is_refused():
    with pytest.raises(DescriptionError, match="without a window only"):
        seen(of(queries=3, prefix=torch.tensor([2])), causal=True, window=2)


def test_the_tokens_after_a_cache_see_it():
    assert rows(seen(of(queries=2, before=1), causal=True, window=None), 2, 3) == [[[1, 1, 0], [1, 1, 1]]]


def test_a_mask_of_another_shape_is_refused(small):
    with pytest.raises(DescriptionError, match=r"mask has shape \(1, 4\), but the tokens have \(1, 5\)"):
        model_of(small("gpt2-small")).logits(ids(1, 5), torch.ones(1, 4))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("preset", DECODERS + ENCODERS)
def test_padding_changes_nothing(small, preset, side):
    if preset == "albert-base":
        model, tokens = model_of(small(preset, prediction_head=True)), ids(1, 6)
    else:
        model, tokens = model_of(small(preset)), ids(1, 6)
    pad = (0, 3) if side == "right" else (3, 0)
    padded, mask = (torch.nn.functional.pad(part, pad) for part in (tokens, torch.ones_like(tokens)))
    together = model.logits(torch.cat([padded, ids(1, 9)]), torch.cat([mask, torch.ones(1, 9)]))
    alone = model.logits(tokens)
    assert (together[0][mask[0].bool()] - alone[0]).abs().max() <= 1e-12
    assert (together[1] - model.logits(ids(1, 9))[0]).abs().max() <= 1e-12


@pytest.mark.parametrize("preset", BOTH)
def test_padding_of_source_and_target_changes_nothing(small, preset):
    model, source, target = model_of(small(preset)), ids(1, 6), ids(1, 4, seed=2)
    alone = model.logits(target, source=source)
    longer, mask = (torch.nn.functional.pad(part, (0, 3)) for part in (source, torch.ones_like(source)))
    batch = torch.cat([longer, ids(1, 9)])
    source_mask = torch.cat([mask, torch.ones(1, 9, dtype=mask.dtype)])
    padded, seen_target = (torch.nn.functional.pad(part, (0, 2)) for part in (target, torch.ones_like(target)))
    targets = torch.cat([padded, ids(1, 6)])
    target_mask = torch.cat([seen_target, torch.ones(1, 6, dtype=mask.dtype)])
    together = model.logits(targets, target_mask, source=batch, source_mask=source_mask)
    assert (together[0, :4] - alone[0]).abs().max() <= 1e-12


@pytest.mark.parametrize("preset", DECODERS + ENCODERS)
def test_packed_documents_are_as_alone(small, preset):
    model = model_of(small(preset, **({"prediction_head": True} if preset == "albert-base" else {})))
    first, second = ids(1, 5), ids(1, 4, seed=2)
    packed = torch.cat([first, second], 1)
    documents = torch.tensor([[0] * 5 + [1] * 4])
    together = model.logits(packed, documents=documents)
    assert (together[:, :5] - model.logits(first)).abs().max() <= 1e-12
    assert (together[:, 5:] - model.logits(second)).abs().max() <= 1e-12


@pytest.mark.parametrize("preset", BOTH)
def test_packed_pairs_are_as_alone(small, preset):
    model = model_of(small(preset))
    sources, targets = (ids(1, 5), ids(1, 4, seed=2)), (ids(1, 3, seed=3), ids(1, 6, seed=4))
    together = model.logits(
        torch.cat(targets, 1),
        source=torch.cat(sources, 1),
        documents=torch.tensor([[0] * 3 + [1] * 6]),
        source_documents=torch.tensor([[0] * 5 + [1] * 4]),
    )
    assert (together[:, :3] - model.logits(targets[0], source=sources[0])).abs().max() <= 1e-12
    assert (together[:, 3:] - model.logits(targets[1], source=sources[1])).abs().max() <= 1e-12


@pytest.mark.parametrize("preset", DECODERS)
def test_a_later_token_changes_nothing_before_it(small, preset):
    model, tokens = model_of(small(preset)), ids(2, 8)
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 97
    before, after = model.logits(tokens), model.logits(changed)
    assert (before[:, :5] - after[:, :5]).abs().max() <= 1e-12
    assert (before[:, 5] - after[:, 5]).abs().max() > 1e-6


def test_a_prefix_sees_ahead_and_the_rest_does_not(small):
    model, tokens = model_of(small("gpt2-small")), ids(1, 6)
    changed = tokens.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 97
    prefix = torch.tensor([3])
    before, after = model.logits(tokens, prefix=prefix), model.logits(changed, prefix=prefix)
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-6  # token 0 sees token 2
    later = tokens.clone()
    later[:, 4] = (later[:, 4] + 1) % 97
    assert (before[:, :4] - model.logits(later, prefix=prefix)[:, :4]).abs().max() <= 1e-12


def test_a_window_forgets(small):
    model = model_of(small("mistral-7b-v0.1", layers=1, attention_window=3))
    tokens = ids(1, 8)
    changed = tokens.clone()
    changed[:, 1] = (changed[:, 1] + 1) % 97
    before, after = model.logits(tokens), model.logits(changed)
    assert (before[:, 4:] - after[:, 4:]).abs().max() <= 1e-12  # tokens 2, 3, 4 see one another
    assert (before[:, 3] - after[:, 3]).abs().max() > 1e-6
