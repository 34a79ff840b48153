"""Inputs and targets of each objective, by hand and by their statistics."""

from __future__ import annotations

import numpy as np
import pytest

from tonne.errors import DataError
from tonne.train.draws import Draws
from tonne.train.objectives.build import ObjectiveOptions, objective_for
from tonne.train.objectives.causal import CausalLm, PrefixLm
from tonne.train.objectives.example import Example
from tonne.train.objectives.masking import MaskedLm, Masking
from tonne.train.objectives.segments import NextSentence, SentenceOrder, Single
from tonne.train.objectives.spans import Seq2Seq, SpanCorruption, parts
from tonne.train.samples import NOTHING, Sample

CLS, SEP, MASK = 2, 3, 4
SPECIAL = np.arange(1000) < 5


def sample(tokens, following=None, documents=None, **more):
    tokens = np.array(tokens, dtype=np.int64)
    following = np.append(tokens[1:], NOTHING) if following is None else np.array(following)
    documents = np.zeros_like(tokens) if documents is None else np.array(documents)
    return Sample(tokens=tokens, following=following, documents=documents, **more)


class Scripted:
    """Draws that were written down beforehand."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self, number):
        return np.array([self.numbers.pop(0) for _ in range(number)])

    def chance(self):
        return self.numbers.pop(0)

    def below(self, limit):
        return int(self.numbers.pop(0) * limit)

    def shuffled(self, number):
        return np.argsort(self.uniform(number), kind="stable")


def test_causal_targets_are_the_tokens_after():
    found = CausalLm().example(sample([7, 8, 9], following=[8, 9, 0], documents=[0, 0, 1]), Scripted())
    assert found.tokens.tolist() == [7, 8, 9]
    assert found.targets.tolist() == [8, 9, 0]
    assert found.documents.tolist() == [0, 0, 1]


def test_prefix_predicts_nothing_but_what_comes_after_it():
    # below(3) of 0.5 is 1: two tokens of prefix; the second one predicts the third token.
    found = PrefixLm().example(sample([7, 8, 9, 5], following=[8, 9, 5, 0]), Scripted(0.5))
    assert (found.prefix, found.targets.tolist()) == (2, [NOTHING, 9, 5, 0])


def test_prefix_lengths_are_even():
    lengths = [PrefixLm().example(sample(range(11)), Draws(0, 0, i)).prefix for i in range(10_000)]
    counts = np.bincount(lengths, minlength=11)[1:]
    assert len(counts) == 10
    assert (abs(counts - 1000) < 150).all()  # 5 standard deviations of 30


def framed(tokens):
    return Example(tokens=np.array(tokens), targets=np.full(len(tokens), NOTHING))


def test_masking_by_hand():
    # Six tokens may be masked; half of them, three, are chosen: those of the smallest numbers, places 1, 3 and 6. Of
    # them 0.79 is shown as [MASK], 0.8 as a random token (0.5 of 995 ordinary ones: 5 + 497), 0.9 as it is.
    masking = Masking(mask=MASK, special=SPECIAL, fraction=0.5)
    script = Scripted(0.1, 0.9, 0.2, 0.9, 0.9, 0.3, 0.79, 0.8, 0.9, 0.5)
    found = masking(framed([CLS, 11, 12, 13, 14, 15, 16, SEP]), script)
    assert found.tokens.tolist() == [CLS, MASK, 12, 502, 14, 15, 16, SEP]
    assert found.targets.tolist() == [NOTHING, 11, NOTHING, 13, NOTHING, NOTHING, 16, NOTHING]


def test_masking_is_80_10_10_and_never_special():
    masking = Masking(mask=MASK, special=SPECIAL)
    tokens = np.concatenate([[CLS], np.full(100, 999), [SEP], np.full(100, 999), [SEP]])
    shown = {"mask": 0, "same": 0, "random": 0}
    for number in range(500):
        found = masking(Example(tokens=tokens, targets=tokens), Draws(1, 0, number))
        asked = found.targets != NOTHING
        assert asked.sum() == 30  # 15 % of 200
        assert not asked[[0, 101, 202]].any()
        assert (found.targets[asked] == 999).all()
        assert (found.tokens[~asked] == tokens[~asked]).all()
        assert not np.isin(found.tokens[asked], [0, 1, 2, 3]).any()
        shown["mask"] += int((found.tokens[asked] == MASK).sum())
        shown["same"] += int((found.tokens[asked] == 999).sum())
        shown["random"] += int((~np.isin(found.tokens[asked], [MASK, 999])).sum())
    # 15,000 chosen: 12,000, 1,500, 1,500 (one random token in 995 is 999 itself), 5 standard deviations of 49 and 37.
    assert abs(shown["mask"] - 12_000) < 245
    assert abs(shown["same"] - 1500) < 185
    assert abs(shown["random"] - 1500) < 185


def test_every_position_is_masked_alike():
    masking = Masking(mask=MASK, special=SPECIAL)
    counts = np.zeros(20)
    for number in range(5000):
        counts[masking.chosen(np.arange(10, 30), Draws(2, 0, number))] += 1
    assert (abs(counts - 750) < 5 * 25.2).all()  # 3 of 20 each time; sqrt(5,000 x 0.15 x 0.85) = 25.2


def test_whole_words_are_masked_whole():
    # Words: 10 | 11 12 | 13 | 14 15 16.
    begins = np.ones(1000, dtype=bool)
    begins[[12, 15, 16]] = False
    masking = Masking(mask=MASK, special=SPECIAL, fraction=0.4, begins_word=begins)  # round(7 x 0.4) = 3 tokens
    tokens = np.array([CLS, 10, 11, 12, 13, 14, 15, 16, SEP])
    found = {tuple(masking.chosen(tokens, Draws(0, 0, number)).tolist()) for number in range(200)}
    # 3 tokens of whole words: one of three; a pair and a single; the two singles, with no word left that fits.
    assert found == {(5, 6, 7), (1, 2, 3), (2, 3, 4), (1, 4)}


def test_a_word_longer_than_the_share_is_masked_all_the_same():
    begins = np.zeros(1000, dtype=bool)
    masking = Masking(mask=MASK, special=SPECIAL, fraction=0.1, begins_word=begins)
    assert masking.chosen(np.array([CLS, 10, 11, 12, SEP, 13, 14, SEP]), Draws(0, 0, 0)).tolist() == [5, 6]


def test_nothing_to_mask_is_no_error():
    found = Masking(mask=MASK, special=SPECIAL)(framed([CLS, SEP]), Draws(0, 0, 0))
    assert found.targets.tolist() == [NOTHING, NOTHING]


def test_single_sequences_are_framed():
    found = Single(begin=CLS, separator=SEP).example(sample([7, 8, 9], documents=[0, 1, 1]), Scripted())
    assert found.tokens.tolist() == [CLS, 7, 8, 9, SEP]
    assert found.documents.tolist() == [0, 0, 1, 1, 1]


ENDS = np.arange(1000) == 50  # token 50 ends a sentence


def test_next_sentence_by_hand():
    framing = NextSentence(begin=CLS, separator=SEP, ends_sentence=ENDS)
    piece = sample([7, 50, 8, 9, 50, 6], elsewhere=lambda _: np.array([90, 50, 91, 92, 93, 94]))
    # Cuts after a sentence: 2 and 5; 0.0 takes the first. 0.4 < 0.5: it follows.
    follows = framing.example(piece, Scripted(0.0, 0.4))
    assert follows.tokens.tolist() == [CLS, 7, 50, SEP, 8, 9, 50, 6, SEP]
    assert follows.token_types.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert follows.next_sentence == 0
    # 0.6: of elsewhere, from the sentence that begins at 2, as long as what it replaces.
    other = framing.example(piece, Scripted(0.0, 0.6, 0.0))
    assert other.tokens.tolist() == [CLS, 7, 50, SEP, 91, 92, 93, 94, SEP]
    assert other.next_sentence == 1


def test_sentence_order_by_hand():
    framing = SentenceOrder(begin=CLS, separator=SEP, ends_sentence=ENDS)
    piece = sample([7, 50, 8])
    assert framing.example(piece, Scripted(0.0, 0.4)).tokens.tolist() == [CLS, 7, 50, SEP, 8, SEP]
    swapped = framing.example(piece, Scripted(0.0, 0.6))
    assert swapped.tokens.tolist() == [CLS, 8, SEP, 7, 50, SEP]
    assert swapped.token_types.tolist() == [0, 0, 0, 1, 1, 1]
    assert swapped.next_sentence == 1


def test_pieces_without_a_sentence_are_cut_anywhere():
    framing = NextSentence(begin=CLS, separator=SEP, ends_sentence=ENDS)
    piece = sample([7, 8, 9, 10], elsewhere=lambda _: np.array([90, 91]))
    cuts = [framing.example(piece, Draws(0, 0, i)).tokens.tolist().index(SEP) - 1 for i in range(3000)]
    assert set(cuts) == {1, 2, 3}


def test_bert_is_next_sentence_and_masking_together():
    objective = MaskedLm(
        framing=NextSentence(begin=CLS, separator=SEP), masking=Masking(mask=MASK, special=SPECIAL, fraction=0.5)
    )
    assert (objective.name, objective.layout, objective.text_length(128)) == ("masked-lm+next-sentence", "pieces", 125)
    labels = []
    for number in range(2000):
        found = objective.example(sample(range(10, 20), elsewhere=lambda _: np.arange(500, 520)), Draws(0, 1, number))
        types, targets = found.token_types, found.targets
        second = np.concatenate([found.tokens[types == 1][:-1], targets[types == 1]])
        labels.append(found.next_sentence)
        assert found.tokens[0] == CLS
        assert (targets != NOTHING).sum() == round((len(targets) - 3) / 2)
        hidden_or_shown = second[(second >= 10) & (second != MASK)]
        assert found.next_sentence == 0 or (targets[types == 1][targets[types == 1] != NOTHING] >= 500).all()
        assert len(hidden_or_shown) or len(second)
    assert abs(sum(labels) - 1000) < 5 * 22.4  # half of 2,000; sqrt(2,000 / 4) = 22.4


def test_spans_by_hand():
    objective = SpanCorruption(sentinels=(900, 901, 902), end=1, start=0)
    found = objective.corrupted(np.arange(10, 20), np.array([2, 7]), np.array([4, 8]))
    assert found.source.tolist() == [10, 11, 900, 14, 15, 16, 901, 18, 19, 1]
    assert found.targets.tolist() == [900, 12, 13, 901, 17, 1]
    assert found.tokens.tolist() == [0, 900, 12, 13, 901, 17]  # shifted right behind the start token


def test_lengths_are_those_that_t5_prints():
    # T5's random_spans_helper: of 568 tokens, 15 % in spans of 3, sources of 512 and targets of 114 (the paper's 512
    # and 114, table 2 of our T5 plan): lost round(85.2) = 85, spans round(28.3) = 28; 568 - 85 + 28 + 1 = 512; 85 + 28
    # + 1.
    objective = SpanCorruption(sentinels=tuple(range(100)), end=1, start=0)
    assert objective.text_length(512) == 568
    assert objective.target_length(512) == 114


def test_more_spans_than_sentinels_are_refused():
    with pytest.raises(DataError, match="loses 28 spans, but the vocabulary has 20 sentinels"):
        SpanCorruption(sentinels=tuple(range(20)), end=1, start=0).text_length(512)


@pytest.mark.slow
def test_spans_have_their_statistics():
    objective = SpanCorruption(sentinels=tuple(range(900, 1000)), end=1, start=0)
    text = np.arange(10, 210)
    lost = np.zeros(200)
    spans_of_one = spans = 0
    for number in range(2000):
        starts, ends = objective.spans(200, Draws(0, 0, number))
        assert (ends - starts).sum() == 30  # 15 % of 200
        assert len(starts) == 10  # of 3 tokens on average
        assert starts[0] > 0
        assert (starts[1:] > ends[:-1]).all()
        assert ends[-1] == 200
        spans += len(starts)
        spans_of_one += int((ends - starts == 1).sum())
        for start, end in zip(starts, ends, strict=True):
            lost[start:end] += 1
        found = objective.corrupted(text, starts, ends)
        told = found.targets[(found.targets < 900) & (found.targets > 1)]
        assert sorted([*told, *found.source[(found.source < 900) & (found.source > 1)]]) == text.tolist()
    # 30 cut into 10 parts, every way as likely: a given part is 1 with probability C(28, 8) / C(29, 9) = 9 / 29.
    assert abs(spans_of_one / spans - 9 / 29) < 0.02
    # The last token but one is lost unless the last span is of one; the second unless the first text is longer than
    # one: 170 cut into 10 parts begin with a 1 with probability C(168, 8) / C(169, 9) = 9 / 169. Deviations sqrt(p q /
    # 2,000).
    assert abs(lost[198] / 2000 - 20 / 29) < 5 * 0.0104
    assert abs(lost[1] / 2000 - 9 / 169) < 5 * 0.0050


def test_parts_are_every_way_as_likely():
    found = {}
    for number in range(6000):
        key = tuple(parts(5, 3, Draws(0, 0, number)).tolist())
        found[key] = found.get(key, 0) + 1
    assert set(found) == {(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 1)}
    assert all(abs(count - 1000) < 5 * 28.9 for count in found.values())  # sqrt(6,000 x 1/6 x 5/6) = 28.9


def test_delimiters_are_no_text_to_be_lost():
    objective = SpanCorruption(sentinels=tuple(range(900, 1000)), end=1, start=0)
    found = objective.example(sample([1, 10, 11, 12, 1, 13, 14, 15, 16, 17]), Draws(0, 0, 0))
    assert (found.source == 1).sum() == 1
    assert (found.targets == 1).sum() == 1
    tiny = objective.example(sample([1, 1]), Draws(0, 0, 0))
    assert tiny.source.tolist()[-1] == 1


def test_pairs_end_and_start():
    found = Seq2Seq(end=1, start=0, longest_target=8).example(sample([5, 6], target=np.array([7, 8])), Scripted())
    assert found.source.tolist() == [5, 6, 1]
    assert found.targets.tolist() == [7, 8, 1]
    assert found.tokens.tolist() == [0, 7, 8]


def test_objectives_are_built_for_a_store(write_store):
    store = write_store([[3, 10, 11]], pad=0, begin=2, separator=3, mask=4, delimiter=3)
    built = objective_for("masked-lm+sentence-order", store)
    assert (built.name, built.masking.fraction) == ("masked-lm+sentence-order", 0.15)
    assert np.flatnonzero(built.masking.special).tolist() == [0, 2, 3, 4]
    assert objective_for("masked-lm", store, ObjectiveOptions(lost_fraction=0.3)).masking.fraction == 0.3
    with pytest.raises(DataError, match=r"'span-corruption' needs tokens that the tokenizer has not: sentinels"):
        objective_for("span-corruption", store)
    with pytest.raises(DataError, match=r"'causal' is none .* Known: causal-lm, prefix-lm"):
        objective_for("causal", store)


def test_an_encoder_needs_its_special_tokens(write_store):
    with pytest.raises(DataError, match="needs tokens that the tokenizer has not: begin, separator, mask"):
        objective_for("masked-lm", write_store([[0, 5]], delimiter=0))
