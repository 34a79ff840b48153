"""From text to a token store: read, encode, write; restartable, with progress."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonne.describe.data import Data
from tonne.describe.data import Tokenizer as TokenizerChoice
from tonne.errors import DataError
from tonne.train.readers import Document, Source, documents_of, sources_of
from tonne.train.readers_tokens import documents_in, token_file
from tonne.train.special_tokens import SpecialTokens, default_kind
from tonne.train.split import is_held_out
from tonne.train.store import SIDECAR, TokenStore, is_store, open_store
from tonne.train.store_writer import StoreWriter
from tonne.train.tokenizer import TOKENIZER_FILE, TextTokenizer, load_tokenizer
from tonne.train.tokenizer_training import DEFAULT_VOCABULARY, train_tokenizer
from tonne.train.writing import full_disk_told, written_whole

DOCUMENTS_AT_ONCE = 512  # encoded together, on as many threads as there are
COMMIT_TOKENS = 2**22  # what a crash may cost: about a second's work
TRAINED = "trained.json"  # how the tokenizer of a folder was made
TRAINING_BYTES = 2**27  # a tokenizer learns nothing more from further text


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far preparing has come."""

    source: str
    sources_done: int
    sources: int
    documents: int
    tokens: int


Reporter = Callable[[Progress], None]


def store_for(
    data: Data,
    choice: TokenizerChoice,
    folder: Path,
    *,
    objective: str = "causal-lm",
    vocabulary: int | None = None,
    report: Reporter | None = None,
) -> TokenStore:
    """The store that a run reads: the one that ``[data]`` names, else one prepared in a folder, its tokenizer with it.

    What is there already is used; only one process may call this for a folder at a time.

    Args:
        data: The section ``[data]``.
        choice: The section ``[tokenizer]``.
        folder: Where to prepare.
        objective: What the model learns.
        vocabulary: Of the model; left out, tokens are not held against it.
        report: Called with the progress from time to time.

    Raises:
        DataError: The data or the tokenizer are missing or broken, or do not fit the model.
    """
    named = Path(data.sources[0]) if len(data.sources) == 1 else None
    if named is not None and (data.format == "store" or is_store(named)):
        store = open_store(named, vocabulary=vocabulary)
        if choice.file is not None:
            store.check_tokenizer(load_tokenizer(choice.file))
        return store
    tokens_alone = choice.file is None and sources_of(data)[0].holds_tokens
    tokenizer = None if tokens_alone else _tokenizer_in(folder, choice, data, objective, vocabulary)
    return prepare(data, tokenizer, folder, vocabulary=vocabulary, report=report)


def prepare(
    data: Data,
    tokenizer: TextTokenizer | None,
    folder: Path,
    *,
    vocabulary: int | None = None,
    report: Reporter | None = None,
) -> TokenStore:
    """The store of what ``[data]`` names, in a folder: opened where it is there, else written, or written to its end.

    Args:
        data: What to read.
        tokenizer: What makes tokens of it; of files that hold tokens, what wrote them (None: not known).
        folder: Where the store is, or shall be.
        vocabulary: Of the model; left out, tokens are not held against it.
        report: Called with the progress from time to time.

    Raises:
        DataError: The data are missing, empty or broken, or do not fit the vocabulary.
    """
    sources = sources_of(data)
    if any(source.format == "store" for source in sources):
        raise DataError("[data] source names a token store, which is prepared already. Open it with open_store.")
    recipe = recipe_of(data, sources, tokenizer)
    if (folder / SIDECAR).is_file():
        found = open_store(folder)
        if found.sidecar["recipe"] == recipe:
            return open_store(folder, vocabulary=vocabulary)
    if tokenizer is None and not sources[0].holds_tokens:
        raise DataError("Text needs a tokenizer. Name one in [tokenizer] file, or have one trained.")
    with StoreWriter(folder, recipe, largest_possible=_largest_possible(tokenizer, sources)) as writer:
        _write_sources(writer, sources, data, tokenizer, report)
        if not writer.tokens:
            names = ", ".join(source.name for source in sources[:3])
            raise DataError(f"{names}: no text in {len(sources)} file(s). Check [data] source, format and columns.")
        if tokenizer is not None:
            tokenizer.save(folder)
        else:
            (folder / TOKENIZER_FILE).unlink(missing_ok=True)
        writer.finish(_sidecar(data, tokenizer, writer.state))
    return open_store(folder, vocabulary=vocabulary)


def recipe_of(data: Data, sources: list[Source], tokenizer: TextTokenizer | None) -> dict[str, Any]:
    """What a store is made of, told without reading it: a changed file, column or tokenizer makes another store."""
    files = [
        [source.name, source.format, *((stat.st_size, stat.st_mtime_ns) if stat else (sys.version, 0))]
        for source in sources
        for stat in [source.path.stat() if source.path is not None else None]
    ]
    columns = list(data.columns.names) if data.columns is not None else ["text"]
    vocabulary = tokenizer.vocabulary_hash if tokenizer is not None else None
    return {"files": files, "columns": columns, "documents": data.documents, "vocabulary_hash": vocabulary}


def tokenizer_for(
    choice: TokenizerChoice, data: Data, *, objective: str = "causal-lm", vocabulary: int | None = None
) -> TextTokenizer:
    """The tokenizer that ``[tokenizer]`` names, or one trained on the documents that are not held out.

    Args:
        choice: The section.
        data: What one is trained on.
        objective: What the model learns: it says which special tokens there are.
        vocabulary: Of the model, which a trained tokenizer must not exceed.

    Raises:
        DataError: The file is missing, or the data are.
    """
    if choice.file is not None:
        return load_tokenizer(choice.file)
    size = choice.vocabulary or min(DEFAULT_VOCABULARY, vocabulary or DEFAULT_VOCABULARY)
    kind = choice.kind or default_kind(objective)
    texts = training_texts(data)
    return train_tokenizer(texts, kind=kind, vocabulary=size, objective=objective, lowercase=choice.lowercase)


def _tokenizer_in(
    folder: Path, choice: TokenizerChoice, data: Data, objective: str, vocabulary: int | None
) -> TextTokenizer:
    """The tokenizer of a run, trained once and then found in the folder."""
    if choice.file is not None:
        return load_tokenizer(choice.file)
    how = {
        "tokenizer": choice.model_dump(),
        "objective": objective,
        "vocabulary": vocabulary,
        "validation_fraction": data.validation_fraction,
        "data": recipe_of(data, sources_of(data), None),
    }
    told = json.loads(json.dumps(how))
    note = folder / TRAINED
    if note.is_file() and (folder / TOKENIZER_FILE).is_file() and json.loads(note.read_text("utf-8")) == told:
        return load_tokenizer(folder)
    tokenizer = tokenizer_for(choice, data, objective=objective, vocabulary=vocabulary)
    with full_disk_told(folder):
        note.unlink(missing_ok=True)
        tokenizer.save(folder)
        written_whole(note, json.dumps(told, indent=2).encode())
    return tokenizer


def training_texts(data: Data) -> Iterator[str]:
    """The texts that are not held out, up to what a tokenizer learns from."""
    sources = sources_of(data)
    if sources[0].holds_tokens:
        raise DataError(f"{sources[0].name} holds tokens: no tokenizer can be trained on them. Give the text.")
    read_bytes = number = 0
    for source in sources:
        for document in documents_of(source, data):
            if not is_held_out(number, data.validation_fraction):
                yield from document.texts
                read_bytes += sum(len(text) for text in document.texts)
            number += 1
            if read_bytes > TRAINING_BYTES:
                return


def _write_sources(
    writer: StoreWriter, sources: list[Source], data: Data, tokenizer: TextTokenizer | None, report: Reporter | None
) -> None:
    """Write what is not written yet of each source, committing now and then."""
    done = list(writer.state.get("sources", []))
    for number, source in enumerate(sources[len(done) :], start=len(done)):
        skipped = writer.state.get("records", 0) if number == len(writer.state.get("sources", [])) else 0
        records, committed = skipped, writer.tokens
        for documents in _encoded(source, data, tokenizer, skipped):
            for tokens, text_bytes in documents:
                writer.add(tokens, text_bytes)
            records += len(documents) // len(_fields(data))
            if writer.tokens - committed >= COMMIT_TOKENS:
                writer.commit({"sources": done, "records": records})
                committed = writer.tokens
            if report is not None:
                report(_progress(writer, source, number, len(sources)))
        done.append({"name": source.name, "sha256": _source_hash(source, data), "records": records})
        writer.commit({"sources": done, "records": 0})


Encoded = list[tuple[NDArray[Any], int]]


def _encoded(source: Source, data: Data, tokenizer: TextTokenizer | None, skipped: int) -> Iterator[Encoded]:
    """Tokens and bytes of text of a source's documents, a good many at a time, the first `skipped` records left out."""
    if source.holds_tokens:
        yield from _token_documents(source, tokenizer, skipped)
        return
    assert tokenizer is not None
    documents = islice(documents_of(source, data), skipped, None)
    while together := list(islice(documents, DOCUMENTS_AT_ONCE)):
        yield _encoded_together(together, tokenizer, paired=len(_fields(data)) > 1)


def _encoded_together(documents: list[Document], tokenizer: TextTokenizer, *, paired: bool) -> Encoded:
    texts = [text for document in documents for text in document.texts]
    delimiter = tokenizer.special.delimiter
    start = np.array([] if delimiter is None or paired else [delimiter], dtype=np.uint32)
    sizes = [len(text.encode()) for text in texts]
    return [(np.concatenate([start, ids]), size) for ids, size in zip(tokenizer.encode(texts), sizes, strict=True)]


def _token_documents(source: Source, tokenizer: TextTokenizer | None, skipped: int) -> Iterator[Encoded]:
    """The documents of a file of tokens; with the tokenizer that wrote it, the bytes of their text are known too."""
    assert source.path is not None
    tokens = token_file(source.path, modded=source.format == "modded-nanogpt-bin")
    bounds = documents_in(tokens, tokenizer.special.delimiter if tokenizer is not None else None)
    for start in range(skipped, len(bounds) - 1, DOCUMENTS_AT_ONCE):
        ends = bounds[start : start + DOCUMENTS_AT_ONCE + 1]
        documents = [np.asarray(tokens[a:b]) for a, b in pairwise(ends)]
        if tokenizer is None:
            yield [(document, -1) for document in documents]
            continue
        _check_tokens(documents, int(ends[0]), source, tokenizer)
        texts = tokenizer.decode_all(documents)
        yield [(document, len(text.encode())) for document, text in zip(documents, texts, strict=True)]


def _check_tokens(documents: list[NDArray[Any]], start: int, source: Source, tokenizer: TextTokenizer) -> None:
    """Refuse a token that the tokenizer does not know, and say where it is."""
    together = np.concatenate(documents)
    beyond = np.flatnonzero(together >= tokenizer.vocabulary)
    if len(beyond):
        place = int(beyond[0])
        raise DataError(
            f"{source.name}: token {start + place} is {int(together[place])}, but the tokenizer knows 0 to "
            f"{tokenizer.vocabulary - 1}. Name the tokenizer that wrote the file."
        )


def _fields(data: Data) -> tuple[str, ...]:
    paired = data.columns is not None and data.columns.source is not None
    return ("source", "target") if paired else ("text",)


def _sidecar(data: Data, tokenizer: TextTokenizer | None, state: dict[str, Any]) -> dict[str, Any]:
    special = tokenizer.special if tokenizer is not None else SpecialTokens()
    return {
        "fields": list(_fields(data)),
        "vocabulary": tokenizer.vocabulary if tokenizer is not None else None,
        "vocabulary_hash": tokenizer.vocabulary_hash if tokenizer is not None else None,
        "special": special.as_dict(),
        "sources": state["sources"],
    }


def _largest_possible(tokenizer: TextTokenizer | None, sources: list[Source]) -> int:
    return 2**16 - 1 if tokenizer is None or sources[0].holds_tokens else tokenizer.vocabulary - 1


def _source_hash(source: Source, data: Data) -> str:
    """A fingerprint of a source's content."""
    if source.path is not None:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for document in documents_of(source, data):
        whole.update("\0".join(document.texts).encode())
    return whole.hexdigest()


def _progress(writer: StoreWriter, source: Source, done: int, of: int) -> Progress:
    return Progress(source=source.name, sources_done=done, sources=of, documents=writer.documents, tokens=writer.tokens)
