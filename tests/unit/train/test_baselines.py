from tonne.train.baselines import copied, lead, majority, nearest_names, nearest_sentences
from tonne.train.labelled import Labelled


def test_copying_says_the_source():
    assert copied([Labelled(id="1", source="Zürich")]) == ["Zürich"]


def test_the_lead_is_the_first_sentence_and_ends_with_its_paragraph():
    examples = [Labelled(id="1", source="One thing. Another.\n\nf(a)"), Labelled(id="2", source="no end\n\ng()")]
    assert lead(examples) == ["One thing.", "no end"]


def test_the_majority_is_the_most_frequent_label_of_training_and_of_two_the_first_by_name():
    trained = [Labelled(id=str(i), label=label) for i, label in enumerate("bbaac")]
    assert majority(trained, [Labelled(id="9", label="c")] * 2) == ["a", "a"]


def test_the_nearest_sentence_shares_most_words_with_the_question():
    context = 'Lists can be sorted. The method raises "KeyError" where "name" is not there. It is fast.'
    example = Labelled(id="1", question='the method raises ____ where "name" is not', context=context)
    assert nearest_sentences([example]) == ['The method raises "KeyError" where "name" is not there.']
    assert nearest_names([example]) == ["KeyError"]
