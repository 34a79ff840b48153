import re

import pytest

from tonne.describe.data import Data
from tonne.describe.task import Task
from tonne.errors import DataError
from tonne.train import corpora_docstrings, corpora_names, corpora_reference
from tonne.train.corpora import UNTESTED_SOURCE, built_in_rows, corpora, held_for_test, untested_pages
from tonne.train.corpus import Docstring
from tonne.train.labelled_reading import read_labelled
from tonne.train.readers import documents_of, sources_of

TASKS = {
    "translate-zh": "translation",
    "translate-de": "translation",
    "summarise": "summarisation",
    "classify": "classification",
    "answer": "question-answering",
}
KEYS = {"translate-zh": "source", "translate-de": "source", "answer": "context"}


def plain(text):
    return " ".join(text.casefold().split())


def docstrings(*texts, module="package.part"):
    return tuple(Docstring(module=module, name=f"f{i}", kind="function", text=text) for i, text in enumerate(texts))


@pytest.fixture
def corpus(monkeypatch):
    def given(*found):
        monkeypatch.setattr(corpora_docstrings, "built_in_corpus", lambda: found)

    return given


def test_every_fifth_text_is_kept_for_a_test_whatever_its_case_and_space():
    # blake2b-64 of "abc" begins with 0xd8 = 216 = 5 x 43 + 1; of "text 1" with another: counted over many texts
    assert not held_for_test("abc")
    assert held_for_test("A  b\nc") == held_for_test("a b c")
    held = sum(held_for_test(f"text {number}") for number in range(10_000))
    assert abs(held / 10_000 - 52 / 256) < 4 * (0.2 * 0.8 / 10_000) ** 0.5  # 52 of 256 bytes leave no remainder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_corpus_is_read_as_examples_of_its_task(name):
    task = Task(name=TASKS[name])
    trained, tested = (read_labelled(f"builtin:{name}{part}", None, task) for part in ("", "-test"))
    assert len(trained) > 1000
    assert 0.15 < len(tested) / (len(trained) + len(tested)) < 0.27


def test_the_corpora_are_those_of_the_tasks():
    assert sorted(corpora()) == sorted(TASKS)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_the_parts_of_a_corpus_share_nothing(name):
    kept, tested = (
        {plain(row[KEYS[name]]) for row in built_in_rows(f"builtin:{name}{part}")} for part in ("", "-test")
    )
    assert not kept & tested


@pytest.mark.slow
def test_no_page_to_pre_train_on_holds_what_a_test_asks_for():
    text = plain("\n".join(page for _, page in untested_pages()))
    for row in built_in_rows("builtin:summarise-test"):
        body = plain(row["source"].partition("\n\n")[0])
        assert len(body.split()) < 13 or body not in text  # short ones stand in others: "Raises KeyError if ..."
    for row in built_in_rows("builtin:answer-test"):
        assert len(row["context"].split()) < 13 or plain(row["context"]) not in text


def test_what_a_docstring_describes_stands_above_it_on_the_pages(monkeypatch, corpus):
    one = Docstring(module="m", name="Path.resolve", kind="function", text="Make it absolute.", arguments=("strict",))
    held = "A text that the hash keeps for the test"
    assert not held_for_test(one.text)
    corpus(one, Docstring(module="m", name="Path", kind="class", text="A path of files."), *docstrings(held))
    monkeypatch.setattr(corpora_reference, "in_tests", lambda: ())
    untested_pages.cache_clear()
    try:
        found = "\n\n".join(text for _, text in untested_pages())
    finally:
        untested_pages.cache_clear()
    assert "Path.resolve(strict)\nMake it absolute.\n\nPath\nA path of files." in found


@pytest.mark.slow
def test_text_without_tests_is_a_source_of_pre_training():
    data = Data(tokens=1e3, source=UNTESTED_SOURCE)
    (source,) = sources_of(data)
    assert source.name == UNTESTED_SOURCE
    first = next(documents_of(source, data))
    assert first.where.startswith(f"{UNTESTED_SOURCE}: ")


def test_an_unknown_corpus_is_told_with_those_that_there_are():
    with pytest.raises(DataError, match=r"'builtin:poems' is not built in\. Known: builtin:translate-zh, .*-test"):
        built_in_rows("builtin:poems")


def test_a_corpus_that_the_interpreter_lacks_is_told(monkeypatch):
    monkeypatch.setitem(__import__("tonne.train.corpora", fromlist=["MAKERS"]).MAKERS, "bare", lambda: iter(()))
    with pytest.raises(DataError, match=r"builtin:bare is empty.*Install the full Python"):
        built_in_rows("builtin:bare")


def test_names_are_pairs_of_two_languages_that_copying_does_not_translate():
    pairs = {row["source"]: row["target"] for _, row in corpora_names.translations("de")}
    assert pairs["Germany"] == "Deutschland"
    assert pairs["Serbian (Cyrillic, Montenegro)"] == "Serbisch (Kyrillisch, Montenegro)"
    assert pairs["Central European Summer Time"] == "Mitteleuropäische Sommerzeit"
    assert "Afghanistan" not in pairs  # the same in both
    chinese = {row["source"]: row["target"] for _, row in corpora_names.translations("zh")}
    assert (chinese["Germany"], chinese["Brazilian Real"]) == ("德国", "巴西雷亚尔")


def test_a_summary_is_the_first_line_and_its_body_the_rest(corpus):
    body = "The rest of it tells what the first line leaves out,\nover two lines."
    corpus(
        *docstrings(
            f"Return what was asked.\n\n{body}",
            "One line alone, with no body.",
            f"call(argument)\n\n{body} Differently.",  # no summary: one word
            f"The same body once more.\n\n{body}",
        )
    )
    rows = [row for _, row in corpora_docstrings.summaries()]
    wanted = "The rest of it tells what the first line leaves out, over two lines.\n\nf0()"
    assert rows == [{"source": wanted, "target": "Return what was asked."}]


def test_classes_are_packages_with_enough_docstrings_and_no_text_is_in_two(corpus):
    texts = [f"What the function with the number {number} of this package does." for number in range(61)]
    both = "A sentence of forty characters or more, in two packages."
    small = docstrings("Another sentence of forty characters or more.", module="small")
    corpus(*docstrings(*texts, both), *docstrings(both, module="small"), *small)
    rows = [row for _, row in corpora_docstrings.modules()]
    assert {row["label"] for row in rows} == {"package"}
    assert len(rows) == 61


def test_the_key_of_a_docstring_is_all_but_its_first_line():
    one, two = docstrings("A summary.\n\nThe body.\n\nMore.", "A summary alone.")
    assert corpora_docstrings.key_of(one) == "The body.\n\nMore."
    assert corpora_docstrings.key_of(two) == "A summary alone."


def test_answers_stand_where_they_are_said_to():
    for row in (*built_in_rows("builtin:answer"), *built_in_rows("builtin:answer-test")):
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text
        assert len(row["context"]) <= 2 * corpora_reference.LONGEST_CONTEXT


def test_questions_ask_for_definitions_and_for_gaps():
    text = 'str.lower() Return a copy in lower case. It never raises "ValueError" but for odd code points.'
    definition = corpora_reference.Definition("str.lower", text.index("Return"), "Return a copy in lower case.")
    context = corpora_reference.Context("strings", text, (definition,))
    found = [*corpora_reference._definitions(context), *corpora_reference._gaps(context)]
    assert found == [
        ("What does str.lower do?", 12, "Return a copy in lower case."),
        ("It never raises ____ but for odd code points.", text.index('"Value'), '"ValueError"'),
    ]


def test_a_signature_is_the_name_that_the_next_paragraph_defines():
    found = corpora_reference._context("strings", ["str.lower()", "Return a copy. And more.", "Not a signature."])
    assert found.text == "str.lower() Return a copy. And more. Not a signature."
    (definition,) = found.definitions
    assert (definition.name, definition.text) == ("str.lower", "Return a copy.")
    assert found.text[definition.start :].startswith("Return a copy.")


def test_long_paragraphs_are_cut_between_sentences():
    sentence = "This is a sentence of some sixty characters, give or take one. "
    parts = list(corpora_reference._cut((sentence * 20).strip()))
    assert all(len(part) <= corpora_reference.LONGEST_CONTEXT for part in parts)
    assert " ".join(parts) == (sentence * 20).strip()
    assert all(re.search(r"one\.$", part) for part in parts)
