"""From text to a store, stopped and gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from tonne.describe.data import Data, Tokenizer
from tonne.errors import DataError, StoreError
from tonne.train import prepare as preparing
from tonne.train.prepare import prepare, store_for, tokenizer_for
from tonne.train.tokenizer import load_tokenizer
from tonne.train.tokenizer_training import train_tokenizer

pytest.importorskip("tokenizers")
TEXT = [f"The {word} number {i} is here. It is late!" for i, word in enumerate(["first", "second", "third"] * 40)]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").mkdir()
    for part in range(3):
        (tmp_path / "text" / f"{part}.txt").write_text("\n".join(TEXT[part * 40 : part * 40 + 40]), "utf-8")
    return tmp_path / "text"


def described(source, **fields):
    return Data.model_validate({"tokens": 1, "source": str(source), "documents": "line", **fields})


@pytest.fixture
def tokenizer():
    return train_tokenizer(TEXT, kind="bpe", vocabulary=300)


def test_store_holds_the_text_and_its_bytes(text, tokenizer, tmp_path):
    seen = []
    store = prepare(described(text), tokenizer, tmp_path / "store", report=seen.append)
    assert store.records == 120
    view = store.training()
    for number in (0, 57, 119):
        tokens = view.slice(number, 0, int(view.lengths[number]))
        assert tokens[0] == tokenizer.special.delimiter == 0
        assert tokenizer.decode(tokens) == TEXT[number]
    assert view.text_bytes == sum(len(line) for line in TEXT)
    assert store.sidecar["vocabulary_hash"] == tokenizer.vocabulary_hash
    assert [source["records"] for source in store.sidecar["sources"]] == [40, 40, 40]
    assert seen[-1].sources == 3
    assert load_tokenizer(store.folder).vocabulary_hash == tokenizer.vocabulary_hash


def test_what_is_prepared_is_not_prepared_again(text, tokenizer, tmp_path, monkeypatch):
    store = prepare(described(text), tokenizer, tmp_path / "store")
    monkeypatch.setattr(preparing, "_write_sources", None)  # would fail if called
    assert prepare(described(text), tokenizer, tmp_path / "store").identity == store.identity


def test_changed_text_is_prepared_again(text, tokenizer, tmp_path):
    before = prepare(described(text), tokenizer, tmp_path / "store").identity
    (text / "3.txt").write_text("one line more", "utf-8")
    after = prepare(described(text), tokenizer, tmp_path / "store")
    assert after.records == 121
    assert after.identity != before


class KilledError(Exception):
    """As if the process had ended here."""


@pytest.mark.parametrize("stop", [1, 2, 5, 8])
def test_a_stopped_preparation_goes_on_to_the_same_store(text, tokenizer, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(preparing, "DOCUMENTS_AT_ONCE", 16)
    monkeypatch.setattr(preparing, "COMMIT_TOKENS", 100)
    whole = prepare(described(text), tokenizer, tmp_path / "whole")
    calls, encode = [], tokenizer.encode

    def counted(texts):
        calls.append(len(texts))
        if len(calls) == stop + 1:
            raise KilledError
        return encode(texts)

    monkeypatch.setattr(tokenizer, "encode", counted)
    with pytest.raises(KilledError):
        prepare(described(text), tokenizer, tmp_path / "stopped")
    with pytest.raises(StoreError, match="unfinished"):
        preparing.open_store(tmp_path / "stopped")
    resumed = prepare(described(text), tokenizer, tmp_path / "stopped")
    assert resumed.identity == whole.identity
    assert (resumed.folder / "tokens.bin").read_bytes() == (whole.folder / "tokens.bin").read_bytes()
    assert resumed.sidecar["sources"] == whole.sidecar["sources"]
    assert sum(calls) <= 120 + 32  # at most the documents that were in work are encoded twice


def test_pairs_become_two_documents(tmp_path, tokenizer):
    (tmp_path / "pairs.tsv").write_text("en\tde\nfirst\tsecond number\nlate\tthird\n", "utf-8")
    data = described(tmp_path / "pairs.tsv", columns={"source": "en", "target": "de"})
    store = prepare(data, tokenizer, tmp_path / "store")
    assert (store.fields, store.records) == (("source", "target"), 2)
    view = store.training()
    told = [tokenizer.decode(view.slice(i, 0, int(view.lengths[i]))) for i in range(4)]
    assert told == ["first", "second number", "late", "third"]


def test_tokens_of_others_are_taken_over(tmp_path, tokenizer):
    ids = [0, 70, 71, 0, 72]
    np.array(ids, dtype="<u2").tofile(tmp_path / "train.bin")
    blind = prepare(described(tmp_path / "train.bin"), None, tmp_path / "blind")
    assert (blind.tokens.tolist(), blind.records, blind.text_bytes, blind.vocabulary) == (ids, 1, None, None)
    known = prepare(described(tmp_path / "train.bin"), tokenizer, tmp_path / "known")
    assert known.records == 2
    assert known.text_bytes.tolist() == [len(tokenizer.decode([70, 71])), len(tokenizer.decode([72]))]


def test_a_foreign_token_beyond_the_vocabulary_is_told_with_its_place(tmp_path, tokenizer):
    np.array([0, 70, 0, 60_000], dtype="<u2").tofile(tmp_path / "train.bin")
    with pytest.raises(DataError, match=r"train\.bin: token 3 is 60000, but the tokenizer knows 0 to 299"):
        prepare(described(tmp_path / "train.bin"), tokenizer, tmp_path / "store")
    with pytest.raises(StoreError, match="holds token 60000, but the model knows 0 to 49999"):
        prepare(described(tmp_path / "train.bin"), None, tmp_path / "store", vocabulary=50_000)


def test_empty_data_are_told(tmp_path, tokenizer):
    (tmp_path / "empty.txt").write_text("\n\n", "utf-8")
    with pytest.raises(DataError, match=r"empty\.txt: no text in 1 file\(s\)"):
        prepare(described(tmp_path / "empty.txt"), tokenizer, tmp_path / "store")
    with pytest.raises(DataError, match="no text to be trained on"):
        tokenizer_for(Tokenizer(), described(tmp_path / "empty.txt"))


def test_a_run_trains_its_tokenizer_once_and_finds_it_again(text, tmp_path, monkeypatch):
    choice = Tokenizer(vocabulary=290)
    first = store_for(described(text), choice, tmp_path / "run")
    monkeypatch.setattr(preparing, "train_tokenizer", None)  # would fail if called
    assert store_for(described(text), choice, tmp_path / "run").identity == first.identity


def test_a_store_of_another_tokenizer_is_refused(text, tmp_path, tokenizer):
    store = prepare(described(text), tokenizer, tmp_path / "store")
    other = train_tokenizer(TEXT, kind="bpe", vocabulary=290)
    other.save(tmp_path / "other")
    named = described(store.folder, format="store")
    assert store_for(named, Tokenizer(), tmp_path / "unused").identity == store.identity
    with pytest.raises(StoreError, match="was written with another tokenizer"):
        store_for(named, Tokenizer(file=str(tmp_path / "other")), tmp_path / "unused")


def test_held_out_text_trains_no_tokenizer(text):
    from tonne.train.prepare import training_texts
    from tonne.train.split import held_out

    kept = list(training_texts(described(text, validation_fraction=0.1)))
    assert kept == [line for line, out in zip(TEXT, held_out(120, 0.1), strict=True) if not out]


def test_sidecar_says_what_the_tokens_are(text, tokenizer, tmp_path):
    import hashlib

    store = prepare(described(text), tokenizer, tmp_path / "store")
    sidecar = json.loads((store.folder / "store.json").read_text())
    assert sidecar["dtype"] == "uint16"
    assert sidecar["documents"] == 120
    assert sidecar["sources"][0]["sha256"] == hashlib.sha256((text / "0.txt").read_bytes()).hexdigest()
    assert sidecar["sha256"] == hashlib.sha256((store.folder / "tokens.bin").read_bytes()).hexdigest()


RUN = """
    import sys
    from pathlib import Path
    from tonne.describe.data import Data
    from tonne.train.prepare import prepare
    from tonne.train.tokenizer import load_tokenizer

    prepare(Data(tokens=1, source=sys.argv[1]), load_tokenizer(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_one_finishes(tmp_path, tokenizer):
    (tmp_path / "text").mkdir()
    for part in range(40):
        (tmp_path / "text" / f"{part:02}.txt").write_text(" ".join(f"{part} {i} text" for i in range(4000)), "utf-8")
    tokenizer.save(tmp_path / "t")
    where = [tmp_path / "text", tmp_path / "t", tmp_path / "store"]
    command = [sys.executable, "-c", textwrap.dedent(RUN), *map(str, where)]
    state = tmp_path / "store" / "state.json.partial"
    for kills in range(1, 3):
        process = subprocess.Popen(command)
        before = state.read_bytes() if state.exists() else b""
        while process.poll() is None and (not state.exists() or state.read_bytes() == before):
            time.sleep(0.001)
        process.kill()
        assert process.wait() != 0, f"it had ended before kill {kills}"
        with pytest.raises(StoreError, match="unfinished"):
            preparing.open_store(tmp_path / "store")
    resumed = prepare(Data(tokens=1, source=str(where[0])), load_tokenizer(where[1]), where[2])
    whole = prepare(Data(tokens=1, source=str(where[0])), load_tokenizer(where[1]), tmp_path / "whole")
    assert resumed.identity == whole.identity
    for name in ("tokens.bin", "offsets.npy", "text_bytes.npy", "store.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
