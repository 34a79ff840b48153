"""Reading what users have; what is wrong with it is told by file and place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tonne.describe.data import Data
from tonne.errors import DataError
from tonne.train.readers import documents_of, sources_of
from tonne.train.readers_text import LONGEST_DOCUMENT, decoded
from tonne.train.readers_tokens import documents_in, token_file

pa = pytest.importorskip("pyarrow")


def data(source, **fields):
    return Data.model_validate({"tokens": 1, "source": str(source), **fields})


def texts(source, **fields):
    described = data(source, **fields)
    return [document.texts for found in sources_of(described) for document in documents_of(found, described)]


def test_a_text_file_is_a_document_and_empty_ones_are_none(tmp_path):
    (tmp_path / "b.txt").write_text("second", "utf-8")
    (tmp_path / "a.md").write_text("first\n\nstill first", "utf-8")
    (tmp_path / "c.txt").write_text(" \n", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\xff")
    assert texts(tmp_path) == [("first\n\nstill first",), ("second",)]


def test_lines_and_paragraphs_are_documents_when_asked(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(b"one\r\ntwo\n\n \nthree\n")
    assert texts(file, documents="line") == [("one",), ("two",), ("three",)]
    assert texts(file, documents="paragraph") == [("one\r\ntwo",), ("three",)]


def test_a_long_file_is_cut_between_paragraphs_and_nothing_is_lost(tmp_path):
    paragraph = "word " * 1000 + "\n\n"
    (tmp_path / "long.txt").write_text(paragraph * 40, "utf-8")
    found = [text for (text,) in texts(tmp_path / "long.txt")]
    assert "".join(found) == paragraph * 40
    assert len(found) > 1
    assert all(len(text) <= LONGEST_DOCUMENT and text.endswith("\n\n") for text in found)


def test_a_file_without_any_space_is_cut_at_the_limit(tmp_path):
    (tmp_path / "long.txt").write_text("é" * (LONGEST_DOCUMENT + 5), "utf-8")
    assert [len(text) for (text,) in texts(tmp_path / "long.txt")] == [LONGEST_DOCUMENT, 5]


def test_patterns_find_files_by_name(tmp_path):
    for name in ("x2.txt", "x1.txt", "y.txt"):
        (tmp_path / name).write_text(name, "utf-8")
    assert texts(tmp_path / "x*.txt") == [("x1.txt",), ("x2.txt",)]


def test_a_byte_that_is_not_utf8_is_told_with_its_place(tmp_path):
    file = tmp_path / "mixed.txt"
    file.write_bytes(
        "caf\u00e9 ".encode() + "caf\u00e9".encode("latin-1")
    )  # c a f, two bytes, a space: the bad byte is the tenth
    with pytest.raises(DataError, match=r"mixed\.txt: byte 9 \(0xE9\) is not UTF-8.*iconv"):
        texts(file)


def test_the_place_is_right_beyond_the_first_chunk_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.train.readers_text.CHUNK_BYTES", 5)
    for content, place in ((b"abcd\xc3\xa9fg\xffh", 8), (b"abcd\xc3\xa9f\xe2\x82", 7)):
        file = tmp_path / "bad.txt"
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"byte {place} "):
            list(decoded(file))


def test_characters_over_the_edge_of_a_chunk_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("tonne.train.readers_text.CHUNK_BYTES", 3)
    (tmp_path / "text.txt").write_text("\ufeffaé€😀b", "utf-8")
    assert "".join(decoded(tmp_path / "text.txt")) == "aé€😀b"


def test_utf16_is_named(tmp_path):
    (tmp_path / "wide.txt").write_bytes("text".encode("utf-16"))
    with pytest.raises(DataError, match=r"byte 0 .*mark of UTF-16.*iconv -f UTF-16"):
        texts(tmp_path / "wide.txt")


def test_jsonl_rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"text": "one\u2028still one", "id": 1}, {"text": None}, {"text": "two"}]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", "utf-8")
    assert texts(file) == [("one\u2028still one",), ("two",)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"body": "x"}', r"line 2 has no column 'text'\. Found: body\."),
        ('{"text": 7}', r"line 2: column 'text' holds 7, no text"),
        ("[1]", r"line 2 holds no object but list"),
        ('{"text": ', r"line 2 is not JSON"),
    ],
)
def test_faults_of_jsonl_name_the_line(tmp_path, line, fault):
    (tmp_path / "rows.jsonl").write_text('{"text": "well"}\n' + line, "utf-8")
    with pytest.raises(DataError, match=fault):
        texts(tmp_path / "rows.jsonl")


def test_csv_and_tsv_rows(tmp_path):
    (tmp_path / "rows.csv").write_text('id,text\n1,"one, two\nthree ""four"""\n2,five\n', "utf-8")
    assert texts(tmp_path / "rows.csv") == [('one, two\nthree "four"',), ("five",)]
    (tmp_path / "rows.tsv").write_text("en\tde\nhouse\tHaus\n\ndog\tHund\n", "utf-8")
    columns = {"source": "en", "target": "de"}
    assert texts(tmp_path / "rows.tsv", columns=columns) == [("house", "Haus"), ("dog", "Hund")]


def test_a_long_cell_of_csv_is_read(tmp_path):
    (tmp_path / "rows.csv").write_text("text\n" + "x" * 200_000, "utf-8")
    assert texts(tmp_path / "rows.csv") == [("x" * 200_000,)]


def test_unknown_column_lists_those_found(tmp_path):
    (tmp_path / "rows.csv").write_text("title,body\na,b\n", "utf-8")
    with pytest.raises(DataError, match=r"has no column 'text'\. Found: title, body\. .*columns = 'title'"):
        texts(tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"no column 'de'\. Found: title, body"):
        texts(tmp_path / "rows.csv", columns={"source": "title", "target": "de"})


def test_a_short_row_of_csv_is_told(tmp_path):
    (tmp_path / "rows.csv").write_text("id,text\n1,a\n2\n", "utf-8")
    with pytest.raises(DataError, match="line 3 has 1 of 2 values"):
        texts(tmp_path / "rows.csv")


TABLE = {"text": ["one", None, "two"], "other": [1, 2, 3]}


def test_parquet_rows(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table(TABLE), tmp_path / "rows.parquet", row_group_size=2)
    assert texts(tmp_path / "rows.parquet") == [("one",), ("two",)]
    with pytest.raises(DataError, match=r"has no column 'body'\. Found: text, other"):
        texts(tmp_path / "rows.parquet", columns="body")
    with pytest.raises(DataError, match="row 1: column 'other' holds 1, no text"):
        texts(tmp_path / "rows.parquet", columns="other")


def test_fields_within_a_column_are_named_with_dots(tmp_path):
    import pyarrow.parquet as pq

    rows = [{"translation": {"en": "house", "de": "Haus"}}, {"translation": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    columns = {"source": "translation.en", "target": "translation.de"}
    assert texts(tmp_path / "rows.parquet", columns=columns) == [("house", "Haus")]
    assert texts(tmp_path / "rows.jsonl", columns=columns) == [("house", "Haus")]
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert texts(tmp_path / "rows.arrow", columns=columns) == [("house", "Haus")]
    with pytest.raises(DataError, match=r"has no column 'en'\. Found: translation"):
        texts(tmp_path / "rows.parquet", columns={"source": "en", "target": "translation.de"})


def test_broken_parquet_is_told(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read as Parquet"):
        texts(tmp_path / "rows.parquet")


def saved_dataset(folder, table, files=2):
    """A folder as Dataset.save_to_disk writes it: Arrow streams, a list of them, and what the columns are."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{files:05d}.arrow" for number in range(files)]
    for number, name in enumerate(names):
        part = table.slice(number * 2, 2)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part)
    state = {"_data_files": [{"filename": name} for name in names], "_indices_data_files": None, "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state), "utf-8")
    (folder / "dataset_info.json").write_text("{}", "utf-8")
    return folder


def test_saved_dataset_is_read_without_its_library(tmp_path):
    folder = saved_dataset(tmp_path / "saved", pa.table(TABLE))
    assert texts(folder) == [("one",), ("two",)]
    (folder / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(DataError, match=r"lacks data-00001-of-00002\.arrow"):
        texts(folder)


def test_splits_of_a_saved_dataset(tmp_path):
    saved_dataset(tmp_path / "saved" / "train", pa.table(TABLE))
    saved_dataset(tmp_path / "saved" / "test", pa.table({"text": ["held out"]}), files=1)
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', "utf-8")
    assert texts(tmp_path / "saved") == [("one",), ("two",)]
    assert texts(tmp_path / "saved", split="test") == [("held out",)]
    with pytest.raises(DataError, match="no split 'dev', but train, test"):
        texts(tmp_path / "saved", split="dev")


def test_arrow_files_of_both_kinds(tmp_path):
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.table(TABLE).schema) as writer:
        writer.write_table(pa.table(TABLE))
    assert texts(tmp_path / "rows.arrow") == [("one",), ("two",)]
    (tmp_path / "cut.arrow").write_bytes((tmp_path / "rows.arrow").read_bytes()[:200])
    with pytest.raises(DataError, match=r"cut\.arrow cannot be read as Arrow"):
        texts(tmp_path / "cut.arrow")


def test_files_of_tokens(tmp_path):
    ids = np.array([5, 60_000, 7], dtype="<u2")
    (tmp_path / "bare.bin").write_bytes(ids.tobytes())
    heading = np.zeros(256, dtype="<i4")
    heading[:3] = (20240520, 1, 3)
    (tmp_path / "headed.bin").write_bytes(heading.tobytes() + ids.tobytes())
    found = sources_of(data(tmp_path / "*.bin"))
    assert [source.format for source in found] == ["nanogpt-bin", "modded-nanogpt-bin"]
    assert token_file(tmp_path / "bare.bin", modded=False).tolist() == [5, 60_000, 7]
    assert token_file(tmp_path / "headed.bin", modded=True).tolist() == [5, 60_000, 7]


def test_broken_files_of_tokens_are_told(tmp_path):
    file = tmp_path / "tokens.bin"
    file.write_bytes(b"abc")
    with pytest.raises(DataError, match="3 bytes, which is no whole number of 16-bit tokens"):
        token_file(file, modded=False)
    heading = np.zeros(256, dtype="<i4")
    heading[:3] = (20240520, 1, 5)
    file.write_bytes(heading.tobytes() + b"\0" * 6)
    with pytest.raises(DataError, match="says 5 tokens and holds 3"):
        token_file(file, modded=True)
    heading[1] = 2
    file.write_bytes(heading.tobytes())
    with pytest.raises(DataError, match="begins with 20240520, version 2"):
        token_file(file, modded=True)


def test_documents_of_tokens_begin_at_delimiters():
    tokens = np.array([9, 1, 2, 9, 3], dtype=np.uint16)
    assert documents_in(tokens, 9).tolist() == [0, 3, 5]
    assert documents_in(tokens[1:], 9).tolist() == [0, 2, 4]
    assert documents_in(tokens, 8).tolist() == [0, 5]
    assert documents_in(np.zeros(40_000, dtype=np.uint16), None).tolist() == [0, 16384, 32768, 40_000]


def test_what_is_not_there_or_unknown_is_told(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        sources_of(data(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="source is missing"):
        sources_of(Data(tokens=1))
    (tmp_path / "notes.odt").write_text("x")
    with pytest.raises(DataError, match=r"holds no text that is known by its name \(\.odt instead\)"):
        sources_of(data(tmp_path))
    with pytest.raises(DataError, match=r"the ending '\.odt' does not tell the format"):
        sources_of(data(tmp_path / "notes.odt"))
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(DataError, match=r"several formats: csv, text\. Say which"):
        sources_of(data(tmp_path))
    assert [source.format for source in sources_of(data(tmp_path, format="csv"))] == ["csv"]
