"""Labelled examples wherever users keep them; what is wrong with one is told by file and row."""

from __future__ import annotations

import json

import pytest

from tonne.describe.data import Data
from tonne.describe.task import Task
from tonne.errors import DataError
from tonne.train.corpora import MAKERS
from tonne.train.labelled import Answer, Labelled, check_labels, examples_of, labels_of, split_examples
from tonne.train.labelled_reading import read_labelled

pa = pytest.importorskip("pyarrow")

TRANSLATION = Task(name="translation", columns={"source": "en", "target": "de"})
CLASSIFICATION = Task(name="classification")
TOKENS = Task(name="token-classification")
ANSWERS = Task(name="question-answering")


def pairs(found):
    return [(example.source, example.target) for example in found]


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


ROWS = [{"en": "house", "de": "Haus"}, {"en": "dog, small", "de": "Hund"}]
FILES = {
    "rows.jsonl": "\n".join(json.dumps(row) for row in ROWS),
    "rows.json": json.dumps(ROWS),
    "lines.json": "\n".join(json.dumps(row) for row in ROWS),
    "under_data.json": json.dumps({"version": 1, "data": ROWS}),
    "rows.csv": 'en,de\nhouse,Haus\n"dog, small",Hund\n',
    "rows.tsv": "en\tde\nhouse\tHaus\ndog, small\tHund\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_in_every_format(tmp_path, name):
    found = read_labelled(written(tmp_path / name, FILES[name]), None, TRANSLATION)
    assert pairs(found) == [("house", "Haus"), ("dog, small", "Hund")]
    assert [example.id for example in found] == ["1", "2"]
    assert found[1].references == ("Hund",)


def test_parquet_and_fields_within_a_column(tmp_path):
    import pyarrow.parquet as pq

    rows = {"id": [7, 8], "translation": [{"en": "house", "de": "Haus"}, {"en": "dog", "de": "Hund"}]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    task = Task(name="translation", columns={"source": "translation.en", "target": "translation.de"})
    found = read_labelled(tmp_path / "rows.parquet", None, task)
    assert pairs(found) == [("house", "Haus"), ("dog", "Hund")]
    assert [example.id for example in found] == ["7", "8"]


def test_parallel_files_line_by_line(tmp_path):
    left = written(tmp_path / "test.en", "house\n\ndog\r\n")
    right = written(tmp_path / "test.de", "Haus\n\nHund")
    found = read_labelled([left, right], "parallel", TRANSLATION)
    assert pairs(found) == [("house", "Haus"), ("dog", "Hund")]
    assert found[1].where.endswith("line 3")


@pytest.mark.parametrize(
    ("right", "fault"),
    [
        ("Haus\n", r"b\.de ends after 1 lines, and .*a\.en goes on"),
        ("Haus\nHund\nKatze\n", r"a\.en ends after 2 lines, and .*b\.de goes on"),
        (" \nHund\n", r"line 1: the reference in column 'de' \(target\) is empty"),
    ],
)
def test_parallel_files_that_do_not_fit_are_told(tmp_path, right, fault):
    left = written(tmp_path / "a.en", "house\ndog\n")
    with pytest.raises(DataError, match=fault):
        read_labelled([left, written(tmp_path / "b.de", right)], "parallel", TRANSLATION)


def test_parallel_takes_two_files_and_a_task_with_two_roles(tmp_path):
    left = written(tmp_path / "a.en", "house\n")
    with pytest.raises(DataError, match=r"given 1 source\(s\) for translation"):
        read_labelled(left, "parallel", TRANSLATION)
    with pytest.raises(DataError, match=r"2 source\(s\) for question-answering"):
        read_labelled([left, left], "parallel", ANSWERS)
    with pytest.raises(DataError, match=r"gone\.de is not there"):
        read_labelled([left, tmp_path / "gone.de"], "parallel", TRANSLATION)


def test_several_references_of_one_text(tmp_path):
    file = written(tmp_path / "rows.jsonl", {"source": "a", "target": ["one", "two"]})
    (found,) = read_labelled(file, None, Task(name="summarisation"))
    assert found.target == "one"
    assert found.references == ("one", "two")


def test_labels_are_names_or_whole_numbers(tmp_path):
    lines = [{"text": "a", "label": label} for label in ("pos ", 1, 10, 2.0, True)]
    file = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, lines)))
    found = read_labelled(file, None, CLASSIFICATION)
    assert [example.label for example in found] == ["pos", "1", "10", "2", "True"]
    assert labels_of(found, CLASSIFICATION) == ("1", "2", "10", "True", "pos")
    assert labels_of(found, Task(name="classification", labels=("b", "a"))) == ("b", "a")


def test_tokens_are_lists_or_texts(tmp_path):
    lines = [{"tokens": ["Ada", "sang"], "labels": ["B-PER", "O"]}, {"tokens": "It is", "labels": "O O"}]
    file = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, lines)))
    found = read_labelled(file, None, TOKENS)
    assert [(example.tokens, example.labels) for example in found] == [
        (("Ada", "sang"), ("B-PER", "O")),
        (("It", "is"), ("O", "O")),
    ]
    assert labels_of(found, TOKENS) == ("B-PER", "O")
    file = written(tmp_path / "bad.jsonl", {"tokens": ["a", "b"], "labels": ["O"]})
    with pytest.raises(DataError, match=r"line 1: 2 tokens, but 1 labels"):
        read_labelled(file, None, TOKENS)


CONTEXT = "Zürich lies on the Limmat. The Limmat is a river."
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Zürich",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "What river?",
                            "answers": [
                                {"text": "the Limmat", "answer_start": 15},
                                {"text": "Limmat", "answer_start": 19},
                            ],
                        },
                        {"id": "q2", "question": "Why?", "is_impossible": True, "plausible_answers": [], "answers": []},
                    ],
                }
            ],
        }
    ],
}  # fmt: skip


def test_questions_as_squad_has_them(tmp_path):
    found = read_labelled(written(tmp_path / "dev.json", SQUAD), None, ANSWERS)
    assert [example.id for example in found] == ["q1", "q2"]
    assert found[0].answers == (Answer("the Limmat", 15), Answer("Limmat", 19))
    assert found[0].context == CONTEXT
    assert found[1].answers == ()
    assert read_labelled(tmp_path / "dev.json", "squad", ANSWERS) == found


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({"text": ["Limmat"], "answer_start": [19]}, (Answer("Limmat", 19),)),
        ({"text": [], "answer_start": []}, ()),
        ("a river", (Answer("a river", 27 + 14),)),  # "Zürich lies on the Limmat. " and "The Limmat is "
        (["Aare"], (Answer("Aare", None),)),
        ([{"text": "Limmat", "start": 31}], (Answer("Limmat", 31),)),
    ],
)
def test_answers_in_every_form(tmp_path, answers, wanted):
    row = {"question": "Where?", "context": CONTEXT, "answers": answers}
    (found,) = read_labelled(written(tmp_path / "rows.jsonl", row), None, ANSWERS)
    assert found.answers == wanted


def test_an_answer_that_stands_elsewhere_is_told(tmp_path):
    row = {"question": "Where?", "context": CONTEXT, "answers": [{"text": "Limmat", "answer_start": 20}]}
    with pytest.raises(
        DataError, match=r"'Limmat' should start at character 20, but there stands 'immat\.'.*not bytes"
    ):
        read_labelled(written(tmp_path / "rows.jsonl", row), None, ANSWERS)


def test_json_of_another_shape_is_told(tmp_path):
    with pytest.raises(DataError, match=r"holds an object with 'rows', 'x'\. It must hold a list of objects"):
        read_labelled(written(tmp_path / "a.json", {"rows": [], "x": 1}), None, ANSWERS)
    with pytest.raises(DataError, match=r"is not JSON: Expecting property name"):
        read_labelled(written(tmp_path / "b.json", "{]"), None, ANSWERS)
    with pytest.raises(DataError, match=r"a paragraph has no list of objects 'qas', but context"):
        read_labelled(written(tmp_path / "c.json", {"data": [{"paragraphs": [{"context": "a"}]}]}), None, ANSWERS)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.json", "rows.parquet"])
def test_a_missing_column_lists_those_found_and_names_the_role(tmp_path, name):
    rows = {"sentence": ["a"], "stars": ["b"]}
    if name == "rows.parquet":
        import pyarrow.parquet as pq

        pq.write_table(pa.table(rows), tmp_path / name)
    else:
        contents = {"rows.csv": "sentence,stars\na,b\n", "rows.jsonl": {"sentence": "a", "stars": "b"}}
        written(tmp_path / name, contents.get(name, [{"sentence": "a", "stars": "b"}]))
    task = Task(name="classification", columns={"label": "stars"})
    named = r"\[task\] columns = \{ text = 'sentence' \} \(tonne evaluate: --column text=sentence\)"
    fault = rf"no column 'text'\. Found: sentence, stars\. .*{named}"
    with pytest.raises(DataError, match=fault):
        read_labelled(tmp_path / name, None, task)


@pytest.mark.parametrize(
    ("task", "row", "fault"),
    [
        ("summarisation", {"source": "a", "target": ""}, r"line 1: the reference in column 'target'"),
        ("summarisation", {"source": "a", "target": None}, "reference in column 'target'"),
        ("summarisation", {"source": "a", "target": []}, "reference in column 'target'"),
        ("summarisation", {"source": "a", "target": ["b", " "]}, "reference in column 'target'"),
        ("summarisation", {"source": " ", "target": "b"}, "the input in column 'source'"),
        ("summarisation", {"source": 3, "target": "b"}, "holds 3, no text"),
        ("classification", {"text": "a", "label": ""}, "reference in column 'label'"),
        ("classification", {"text": "a", "label": None}, "reference in column 'label'"),
        ("classification", {"text": "a", "label": 0.5}, "holds 0.5, no label"),
        ("token-classification", {"tokens": [], "labels": []}, "the input in column 'tokens'"),
        ("question-answering", {"question": "a", "context": "b", "answers": None}, "reference in column 'answers'"),
        ("question-answering", {"question": "a", "context": "b", "answers": [""]}, "reference in column 'answers'"),
        ("question-answering", {"question": "a", "context": "b", "answers": {"x": 1}}, "has no 'text', but x"),
        ("instruction", {"prompt": "a", "answer": " "}, r"reference in column 'answer' \(answer\)"),
    ],
)  # fmt: skip
def test_empty_references_and_what_is_no_text_are_told(tmp_path, task, row, fault):
    with pytest.raises(DataError, match=fault):
        read_labelled(written(tmp_path / "rows.jsonl", row), None, Task(name=task))


def test_a_row_with_an_unquoted_comma_is_told(tmp_path):
    file = written(tmp_path / "rows.csv", "text,label\nwell, well,pos\n")
    with pytest.raises(DataError, match=r"line 2 has 3 of 2 values.*quote its text"):
        read_labelled(file, None, CLASSIFICATION)


def test_mixed_encodings_are_told_with_their_place(tmp_path):
    for name, start in (("rows.jsonl", b'{"text": "\xc3\xa9", "label": "'), ("rows.csv", b"text,label\n\xc3\xa9,")):
        (tmp_path / name).write_bytes(start + "é".encode("latin-1") + (b'"}' if name.endswith("l") else b"\n"))
        with pytest.raises(DataError, match=rf"byte {len(start)} \(0xE9\) is not UTF-8.*one file has one encoding"):
            read_labelled(tmp_path / name, None, CLASSIFICATION)


def test_text_and_files_of_tokens_hold_no_labels(tmp_path):
    with pytest.raises(DataError, match=r"ending '\.txt' does not tell the format"):
        read_labelled(written(tmp_path / "a.txt", "text"), None, CLASSIFICATION)
    with pytest.raises(DataError, match=r"text holds no labelled examples\. Give jsonl, .*format = 'parallel'"):
        read_labelled(tmp_path / "a.txt", "text", CLASSIFICATION)
    (found,) = read_labelled(tmp_path / "a.txt", None, Task(name="continued"))
    assert found.text == "text"


def test_nothing_there_and_nothing_in_it_are_told(tmp_path):
    with pytest.raises(DataError, match=r"is not there"):
        read_labelled(tmp_path / "gone.csv", None, CLASSIFICATION)
    with pytest.raises(DataError, match=r"holds no example"):
        read_labelled(written(tmp_path / "rows.csv", "text,label\n"), None, CLASSIFICATION)
    with pytest.raises(DataError, match=r"'builtin:nothing' is not built in\. Known: "):
        read_labelled("builtin:nothing", None, CLASSIFICATION)


def test_built_in_rows_are_read_as_others(monkeypatch):
    rows = {"text 0": ("a", "x"), "text 1": ("b", "y"), "text 9": ("c", "x")}  # by key; which part it gives, see below
    keyed = [(key, {"text": text, "label": label}) for key, (text, label) in rows.items()]
    monkeypatch.setitem(MAKERS, "toy", lambda: keyed)
    monkeypatch.setattr("tonne.train.corpora.held_for_test", lambda key: key == "text 9")
    found = read_labelled("builtin:toy", None, CLASSIFICATION)
    assert [(one.text, one.label, one.where) for one in found] == [
        ("a", "x", "builtin:toy: row 1"),
        ("b", "y", "builtin:toy: row 2"),
    ]
    assert [one.text for one in read_labelled("builtin:toy-test", None, CLASSIFICATION)] == ["c"]


def labelled(*labels):
    return [
        Labelled(id=str(number), text="t", label=label, where=f"row {number}") for number, label in enumerate(labels)
    ]


def test_a_label_that_was_not_seen_in_training_is_told():
    check_labels(labelled("a", "b"), ("a", "b", "c"))
    with pytest.raises(
        DataError, match=r"row 1: the label 'd' was not seen .*2 example\(s\).*'d', 'e'.*Known: 'a', 'b'"
    ):
        check_labels(labelled("a", "d", "e"), ("a", "b"))


def test_one_label_is_nothing_to_tell_apart():
    with pytest.raises(DataError, match=r"have 1 label\(s\): 'a'"):
        labels_of(labelled("a", "a"), CLASSIFICATION)


def test_held_out_examples_are_a_share_or_a_source_of_their_own(tmp_path):
    rows = "\n".join(json.dumps({"text": f"t{number}", "label": number % 2}) for number in range(100))
    train = str(written(tmp_path / "train.jsonl", rows))
    data = Data.model_validate({"tokens": 1, "source": train, "validation_fraction": 0.1})
    kept, held = examples_of(data, CLASSIFICATION)
    assert len(held) == 10
    assert {example.id for example in kept} | {example.id for example in held} == {str(n) for n in range(1, 101)}
    assert examples_of(data, CLASSIFICATION) == (kept, held)
    own = str(written(tmp_path / "held.jsonl", {"text": "h", "label": 1}))
    data = Data.model_validate({"tokens": 1, "source": train, "validation_source": own})
    kept, held = examples_of(data, CLASSIFICATION)
    assert len(kept) == 100
    assert [example.text for example in held] == ["h"]


def test_questions_on_one_context_are_never_on_both_sides():
    examples = [
        Labelled(id=str(n), question="q", context=f"context {context}") for context in range(20) for n in range(5)
    ]
    kept, held = split_examples(examples, 0.1)
    assert len(held) == 10  # two of twenty contexts
    assert not {example.context for example in kept} & {example.context for example in held}
