"""The token store: whole or none, and what is read from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tonne.errors import StoreError
from tonne.train.store import is_store, open_store
from tonne.train.store_writer import StoreWriter

DOCUMENTS = [[9, 1, 2], [9, 3], [9, 4, 5, 6], [9]]


def test_documents_come_back(write_store):
    store = write_store(DOCUMENTS, delimiter=9)
    assert store.tokens.tolist() == [9, 1, 2, 9, 3, 9, 4, 5, 6, 9]
    assert store.offsets.tolist() == [0, 3, 5, 9, 10]
    assert store.text_bytes.tolist() == [12, 8, 16, 4]
    assert (store.records, store.vocabulary, store.special.delimiter) == (4, 1000, 9)
    assert store.tokens.dtype == np.dtype("<u2")


def test_large_vocabularies_take_32_bits(write_store):
    store = write_store([[70_000]], vocabulary=128_256)
    assert store.tokens.tolist() == [70_000]


def test_a_view_leaves_out_what_is_held_out(write_store):
    store = write_store([[9, i] for i in range(20)], delimiter=9)
    training, held = store.training(0.1), store.validation(0.1)
    assert len(held.records) == 2
    assert sorted([*training.records, *held.records]) == list(range(20))
    assert (training.tokens, held.tokens) == (36, 4)
    assert (training.text_bytes, held.text_bytes) == (144, 16)
    everything, _ = training.stream(0, 36)
    assert everything.tolist() == [token for i in range(20) if i not in held.records for token in (9, i)]


def test_a_stream_is_read_from_any_place(write_store):
    view = write_store(DOCUMENTS, delimiter=9).training()
    flat = [token for document in DOCUMENTS for token in document]
    owner = [i for i, document in enumerate(DOCUMENTS) for _ in document]
    for start in range(10):
        for end in range(start, 11):
            tokens, owners = view.stream(start, end)
            assert (tokens.tolist(), owners.tolist()) == (flat[start:end], owner[start:end])


def test_pairs_are_held_out_together(write_store):
    store = write_store([[i] for i in range(40)], fields=("source", "target"))
    held = store.validation(0.1)
    assert store.records == 20
    assert all(source + 1 == target and source % 2 == 0 for source, target in held.documents.reshape(-1, 2))


def test_one_document_cannot_be_held_out(write_store):
    with pytest.raises(StoreError, match=r"holds 1 document\(s\): nothing can be held out"):
        write_store([[1, 2]]).validation(0.1)


def test_a_token_beyond_the_vocabulary_is_refused(write_store):
    store = write_store([[1, 999]])
    store.check_vocabulary(1000)
    with pytest.raises(StoreError, match="holds token 999, but the model knows 0 to 511"):
        open_store(store.folder, vocabulary=512)


def test_a_truncated_store_is_refused(write_store):
    store = write_store(DOCUMENTS)
    os.truncate(store.folder / "tokens.bin", 18)
    with pytest.raises(StoreError, match=r"tokens\.bin has 18 bytes and should have 20"):
        open_store(store.folder)


@pytest.mark.parametrize("name", ["offsets.npy", "text_bytes.npy"])
def test_a_broken_array_is_refused(write_store, name):
    store = write_store(DOCUMENTS)
    os.truncate(store.folder / name, 130)
    with pytest.raises(StoreError, match=rf"{name} cannot be read"):
        open_store(store.folder)
    np.save(store.folder / name, np.zeros(2, dtype=np.int64))
    with pytest.raises(StoreError, match=rf"{name} has 2 numbers and should have"):
        open_store(store.folder)


def test_what_is_no_store_is_told(tmp_path, write_store):
    with pytest.raises(StoreError, match=r"holds no token store \(store\.json is missing\)"):
        open_store(tmp_path)
    store = write_store(DOCUMENTS)
    (store.folder / "store.json").write_text("{")
    with pytest.raises(StoreError, match=r"store\.json cannot be read"):
        open_store(store.folder)
    (store.folder / "store.json").write_text(json.dumps({"format": "tonne-token-store", "version": 99}))
    with pytest.raises(StoreError, match="version 99; this tonne reads"):
        open_store(store.folder)


def test_an_interrupted_store_is_none_and_goes_on(tmp_path):
    def writer():
        return StoreWriter(tmp_path / "s", {"a": 1}, largest_possible=100)

    with writer() as first:  # left without finish, as by an exception
        first.add(np.array([1, 2]), 5)
        first.commit({"done": 1})
        first.add(np.array([3, 4]), 5)  # written, never committed
    assert not is_store(tmp_path / "s")
    with pytest.raises(StoreError, match=r"unfinished token store.*goes on where it stopped"):
        open_store(tmp_path / "s")
    with writer() as second:
        assert (second.tokens, second.documents, second.state) == (2, 1, {"done": 1})
        second.add(np.array([7]), 1)
        second.finish({"fields": ["text"], "vocabulary": 100, "vocabulary_hash": None, "special": {}, "sources": []})
    assert open_store(tmp_path / "s").tokens.tolist() == [1, 2, 7]
    assert not list((tmp_path / "s").glob("*.partial"))


def test_another_recipe_begins_anew(tmp_path):
    with StoreWriter(tmp_path / "s", {"a": 1}, largest_possible=100) as first:
        first.add(np.array([1, 2]), 5)
        first.commit({"done": 1})
    with StoreWriter(tmp_path / "s", {"a": 2}, largest_possible=100) as second:
        assert (second.tokens, second.state) == (0, {})


def test_two_writers_do_not_share_a_folder(tmp_path):
    pytest.importorskip("fcntl")
    with (
        StoreWriter(tmp_path / "s", {}, largest_possible=100),
        pytest.raises(StoreError, match="Another process is writing"),
    ):
        StoreWriter(tmp_path / "s", {}, largest_possible=100)
    with StoreWriter(tmp_path / "s", {}, largest_possible=100):
        pass


FULL_DISK = """
    import resource, sys
    import numpy as np
    from pathlib import Path
    from tonne.errors import StoreError
    from tonne.train.store_writer import StoreWriter

    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # the system refuses to write a file any longer
    try:
        with StoreWriter(Path(sys.argv[1]), {}, largest_possible=100) as writer:
            for number in range(40):
                writer.add(np.full(500, number), 1)
                writer.commit({"done": number + 1})
            writer.finish({})
    except StoreError as error:
        print(error)
"""


def test_a_full_disk_loses_nothing_and_leaves_no_half_store(tmp_path):
    pytest.importorskip("resource")
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "The disk is full: File too large while writing" in done.stdout
    assert "Nothing unfinished will be taken for a whole one" in done.stdout
    assert not is_store(tmp_path / "s")
    with StoreWriter(tmp_path / "s", {}, largest_possible=100) as writer:
        assert (writer.documents, writer.tokens, writer.state) == (30, 15_000, {"done": 30})  # 30,000 bytes, 1,000 each


def test_a_file_replaced_on_a_full_disk_keeps_its_old_content(tmp_path, monkeypatch):
    from tonne.train import writing

    file = tmp_path / "store.json"
    file.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(StoreError, match="disk is full"), writing.full_disk_told(tmp_path):
        writing.written_whole(file, b"new")
    assert file.read_text() == "old"
