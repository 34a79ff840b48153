"""Continuing sequences: what is most probable, what is drawn, where it ends."""

from __future__ import annotations

import itertools
import math

import pytest

from tonne.describe.architecture import Architecture
from tonne.errors import DescriptionError

torch = pytest.importorskip("torch")

from tonne.model.beam import Beam, Search  # noqa: E402
from tonne.model.generation import generate  # noqa: E402
from tonne.model.sampling import Draw, Greedy, Sampling, filtered  # noqa: E402
from tonne.model.transformer import Transformer  # noqa: E402

VOCABULARY, NEW = 11, 6
SHAPE = {"width": 16, "heads": 2, "vocabulary": VOCABULARY, "max_positions": 24}


def model(kind="decoder", **fields):
    layers = {"encoder_layers": 1, "decoder_layers": 2} if kind == "encoder-decoder" else {"layers": 2}
    torch.manual_seed(2)
    built = (
        Transformer(Architecture(kind=kind, **layers, **{**SHAPE, "positions": "learned", **fields})).double().eval()
    )
    for parameter in built.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return built


def prompt(batch=3, length=4):
    torch.manual_seed(3)
    return torch.randint(VOCABULARY, (batch, length))


def most_probable(net, tokens, count, **more):
    """Without a cache: the whole sequence anew for each token."""
    for _ in range(count):
        tokens = torch.cat([tokens, net.logits(tokens, **more)[:, -1:].argmax(-1)], 1)
    return tokens


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "alibi", "none"])
def test_greedy_takes_the_most_probable_token_each_time(positions):
    net = model(positions=positions)
    assert torch.equal(generate(net, prompt(), max_new_tokens=NEW), most_probable(net, prompt(), NEW))


def test_an_encoder_decoder_continues_its_target():
    net, source = model("encoder-decoder"), prompt(length=7)
    expected = most_probable(net, prompt(length=2), NEW, source=source)
    assert torch.equal(generate(net, prompt(length=2), source=source, max_new_tokens=NEW), expected)


def test_a_source_is_masked():
    net, source = model("encoder-decoder"), prompt(length=7)
    mask = torch.ones_like(source)
    mask[:, 5:] = 0
    for strategy in (Greedy(), Beam(size=2)):
        options = {"max_new_tokens": NEW, "strategy": strategy}
        short = generate(net, prompt(length=1), source=source[:, :5], **options)
        assert torch.equal(generate(net, prompt(length=1), source=source, source_mask=mask, **options), short)


def test_prompts_of_unlike_length_share_a_batch():
    net = model()
    rows = [torch.tensor([4, 5, 6, 7]), torch.tensor([8]), torch.tensor([9, 10])]
    tokens, mask = torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, 4)
    tokens[0], mask[0] = rows[0], 1
    tokens[1, 3:], mask[1, 3:] = rows[1], 1  # padding on the left
    tokens[2, :2], mask[2, :2] = rows[2], 1  # and on the right
    for strategy in (Greedy(), Beam(size=3)):
        together = generate(net, tokens, mask, max_new_tokens=NEW, strategy=strategy)
        assert together.shape == (3, 4 + NEW)
        for row, whole in zip(rows, together, strict=True):
            alone = generate(net, row[None], max_new_tokens=NEW, strategy=strategy)[0]
            assert whole[4 - len(row) :].tolist() == alone.tolist()


def test_a_sequence_ends_at_a_stop_token_and_is_padded():
    net = model()
    free = generate(net, prompt(), max_new_tokens=NEW)
    stop = int(free[0, 5])  # the second new token of the first sequence
    made = generate(net, prompt(), max_new_tokens=NEW, stop_tokens=[stop], pad_token=0)
    for whole, row in zip(made.tolist(), free.tolist(), strict=True):
        new = row[4:]
        end = new.index(stop) + 1 if stop in new else NEW
        assert whole[4:] == (new[:end] + [0] * NEW)[: len(whole) - 4]


def test_generation_ends_when_all_sequences_have_ended():
    net = model()
    stop = int(generate(net, prompt(1), max_new_tokens=1)[0, -1])
    assert generate(net, prompt(1), max_new_tokens=NEW, stop_tokens=[stop]).shape == (1, 5)


def test_tokens_are_handed_out_as_they_come_until_told_to_stop():
    net, seen = model(), []
    made = generate(net, prompt(), max_new_tokens=NEW, on_token=lambda token: seen.append(token.tolist()))
    assert torch.tensor(seen).T.tolist() == made[:, 4:].tolist()
    seen.clear()
    made = generate(net, prompt(), max_new_tokens=NEW, on_token=lambda token: seen.append(token) or len(seen) == 2)
    assert made.shape == (3, 4 + 2)


def test_dropout_is_off_meanwhile_and_modes_are_kept():
    architecture = Architecture(kind="decoder", layers=2, **SHAPE, positions="learned")
    net = Transformer(architecture, dropout=0.5).train()
    net.decoder.eval()
    first, second = (generate(net, prompt(), max_new_tokens=NEW) for _ in range(2))
    assert torch.equal(first, second)
    assert net.training
    assert not net.decoder.training
    assert net.embedding.training


def test_same_seed_same_tokens_and_torchs_generator_is_left_alone():
    net = model()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (
        generate(net, prompt(), max_new_tokens=20, strategy=Sampling(seed=seed)) for seed in (1, 1, 2)
    )
    torch.manual_seed(0)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_seed_torchs_own_counts():
    net, made = model(), []
    for _ in range(2):
        torch.manual_seed(4)
        made.append(generate(net, prompt(), max_new_tokens=NEW, strategy=Sampling()))
    assert torch.equal(*made)


def test_tokens_are_drawn_as_often_as_they_are_probable():
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    draws = 40_000
    drawn = Draw(strategy=Sampling(seed=0)).next_tokens(probabilities.log().expand(draws, 4))
    shares = torch.bincount(drawn, minlength=4) / draws
    spread = (probabilities * (1 - probabilities) / draws).sqrt()  # of a binomial share
    assert ((shares - probabilities).abs() < 4 * spread).all()


TIED, APART = (0.4, 0.2, 0.2, 0.1), (0.4, 0.2, 0.19, 0.21)


@pytest.mark.parametrize(
    ("sampling", "weights", "expected"),
    [
        (Sampling(temperature=0.5), TIED, (0.16 / 0.25, 0.04 / 0.25, 0.04 / 0.25, 0.01 / 0.25)),  # squares
        (Sampling(top_k=1), TIED, (1, 0, 0, 0)),
        (Sampling(top_k=2), TIED, (0.5, 0.25, 0.25, 0)),  # the second and the third tie
        (Sampling(top_p=0.39), APART, (1, 0, 0, 0)),
        (Sampling(top_p=0.41), APART, (0.4 / 0.61, 0, 0, 0.21 / 0.61)),  # ranked: 0.4, 0.21, 0.2, 0.19
        (Sampling(top_p=0.7), APART, (0.4 / 0.81, 0.2 / 0.81, 0, 0.21 / 0.81)),
        (Sampling(top_p=1.0), APART, APART),
        (Sampling(top_k=2, top_p=0.6), APART, (1, 0, 0, 0)),  # of the two left the first has 0.4 / 0.61 > 0.6
    ],
)
def test_filters_by_hand(sampling, weights, expected):
    left = filtered(torch.tensor([weights], dtype=torch.float64).log(), sampling).softmax(-1)
    torch.testing.assert_close(left, torch.tensor([expected], dtype=torch.float64))


class Chain:
    """A decoder by hand: what comes next depends on the last token alone."""

    def __init__(self, table, start):
        self.table, self.last = torch.tensor(table).log(), torch.tensor([start])

    def first(self):
        return self.table[self.last]

    def scores(self, tokens):
        self.last = tokens[:, 0]
        return self.table[self.last]

    def reorder(self, index):
        self.last = self.last[index]


# From 0: 1 is likelier than 2, but what follows 1 is spread thin. 3 ends.
FORK = [[0.0, 0.6, 0.4, 0.0], [0.3, 0.3, 0.2, 0.2], [0.0, 0.0, 0.1, 0.9], [0.25, 0.25, 0.25, 0.25]]


def searched(beam, table=FORK, *, most=3, stops=(3,), pad=0):
    chain = Chain(table, 0)
    search = Search(beam, chain, max_new_tokens=most, stop_tokens=torch.tensor(stops), pad_token=pad)
    return search.best(chain.first())[0].tolist()


def test_a_beam_finds_what_the_most_probable_first_token_hides():
    # "2 3" has 0.4 x 0.9 = 0.36; the best that starts with 1, the likelier first token, has 0.6 x 0.3 x 0.3
    assert searched(Beam(size=1)) != [2, 3]
    assert searched(Beam(size=2)) == [2, 3]


def test_length_penalty_by_hand():
    # at most 2 tokens: "3" has log 0.3 = -1.20; "1 1" has log (0.7 x 0.6) = -0.87, and for its length / 2^p
    table = [[0.0, 0.7, 0.0, 0.3], [0.0, 0.6, 0.0, 0.4], [0.25] * 4, [0.25] * 4]
    assert searched(Beam(size=2, length_penalty=0.0), table, most=2) == [1, 1]
    assert -math.log(0.3) < -math.log(0.42) / 2**-1  # shorter wins where the penalty is -1
    assert searched(Beam(size=2, length_penalty=-1.0), table, most=2) == [3]


def test_early_stopping_takes_the_first_that_end():
    # after one token "1" and "3" (an end); after two "1 3" ends too: a beam of 2 is full. Going on, "1 1 1 ..." gains
    table = [[0.0, 0.6, 0.0, 0.4], [0.0, 0.9, 0.0, 0.1], [0.25] * 4, [0.25] * 4]
    assert searched(Beam(size=2, early_stopping=True), table, most=8) == [3]
    assert searched(Beam(size=2, early_stopping="never"), table, most=8) == [1] * 8


def test_a_wide_beam_is_an_exhaustive_search():
    net = model(vocabulary=4)
    start = prompt(2, 3) % 4
    made = generate(net, start, max_new_tokens=3, strategy=Beam(size=16))
    for row, whole in zip(start, made, strict=True):
        ends = [torch.cat([row, torch.tensor(end)]) for end in itertools.product(range(4), repeat=3)]
        scores = net.logits(torch.stack(ends)).log_softmax(-1)[:, 2:5]
        sums = scores.gather(2, torch.stack(ends)[:, 3:, None]).sum((1, 2))
        assert torch.equal(whole, ends[int(sums.argmax())])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"max_new_tokens": 0}, r"max_new_tokens=0\. Give 1 or more"),
        ({"tokens": torch.zeros(1, 0, dtype=torch.long)}, r"the prompt has shape \(1, 0\)\. Give at least one token"),
        ({"mask": torch.ones(2, 4)}, r"mask has shape \(2, 4\), but the tokens have \(3, 4\)"),
        ({"mask": torch.tensor([[1] * 4, [0] * 4, [1] * 4])}, r"prompt 1 is all padding"),
        ({"tokens": torch.zeros(1, 25, dtype=torch.long)}, r"25 tokens is longer than the 24 positions.*Shorten it"),
        ({"max_new_tokens": 22}, r"4 tokens and max_new_tokens=22 need 25 positions.* Take max_new_tokens=21 at most"),
        ({"source": torch.zeros(3, 2, dtype=torch.long)}, r"this model is a decoder and reads one sequence: leave"),
        ({"strategy": Beam(), "on_token": print}, r"a beam knows its tokens at the end only\. Leave it out"),
    ],
)
def test_what_cannot_be_generated_is_said(change, text):
    with pytest.raises(DescriptionError, match=text):
        generate(**{"model": model(), "tokens": prompt(), "max_new_tokens": 2, **change})


def test_as_many_tokens_as_there_are_positions_fit():
    assert generate(model(), prompt(), max_new_tokens=21).shape == (3, 25)  # the last one is not read again


@pytest.mark.parametrize("positions", ["alibi", "none"])
def test_positions_without_an_end_are_not_counted(positions):
    assert generate(model(positions=positions), prompt(), max_new_tokens=40).shape == (3, 44)


def test_an_encoder_and_a_missing_source_are_refused():
    with pytest.raises(
        DescriptionError, match=r"is an encoder: it sees all tokens at once and continues none\. Give a"
    ):
        generate(model("encoder"), prompt(), max_new_tokens=2)
    with pytest.raises(DescriptionError, match=r"is an encoder-decoder and needs a source: give source"):
        generate(model("encoder-decoder"), prompt(), max_new_tokens=2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Sampling(temperature=0), r"temperature=0\. Give a number above 0.*take Greedy\(\)"),
        (lambda: Sampling(temperature=math.nan), r"temperature=nan\. Give a number above 0"),
        (lambda: Sampling(top_k=0), r"top_k=0\. Give 1 or more tokens"),
        (lambda: Sampling(top_p=1.5), r"top_p=1\.5\. Give a probability"),
        (lambda: Beam(size=0), r"size=0\. Give a beam of 1 or more"),
        (lambda: Beam(early_stopping="soon"), r"early_stopping='soon'\. Give True, False or 'never'"),
    ],
)
def test_a_strategy_that_is_none_is_refused(make, text):
    with pytest.raises(DescriptionError, match=text):
        make()


@pytest.mark.gpu
def test_on_an_accelerator_the_same_tokens():
    net = model()
    for strategy in (Greedy(), Beam(size=3)):
        here = generate(net.cpu(), prompt(), max_new_tokens=NEW, strategy=strategy)
        there = generate(net.cuda(), prompt().cuda(), max_new_tokens=NEW, strategy=strategy)
        assert torch.equal(there.cpu(), here)
    drawn = [generate(net, prompt().cuda(), max_new_tokens=NEW, strategy=Sampling(seed=1)) for _ in range(2)]
    assert torch.equal(*drawn)
