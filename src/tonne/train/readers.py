"""Reading text wherever users keep it: which files, in which format, and their documents one after the other.

Nothing is guessed from what a file holds but the two kinds of token files, which differ by their first number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tonne.describe.data import BUILT_IN, Columns, Data
from tonne.errors import DataError
from tonne.train.corpora import UNTESTED_SOURCE, untested_pages
from tonne.train.corpus import built_in_corpus, pages
from tonne.train.readers_tables import arrow_rows, csv_rows, jsonl_rows, parquet_rows
from tonne.train.readers_text import text_documents
from tonne.train.readers_tokens import is_modded

FORMAT_OF = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".rst": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".bin": "bin",
}
TABLES = {"jsonl": jsonl_rows, "parquet": parquet_rows, "arrow": arrow_rows}
TOKEN_FORMATS = ("nanogpt-bin", "modded-nanogpt-bin")
LABELLED_ALONE = ("json", "squad", "parallel")  # formats of labelled examples, which `labelled` reads
DATASET_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")  # what save_to_disk leaves beside the rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file (or dataset folder) and its format; no path for what is built in, but its name."""

    path: Path | None
    format: str
    built_in: str = BUILT_IN

    @property
    def name(self) -> str:
        """How messages and sidecars call it."""
        return self.built_in if self.path is None else str(self.path)

    @property
    def holds_tokens(self) -> bool:
        """Whether it holds tokens already, and no text."""
        return self.format in TOKEN_FORMATS


@dataclass(frozen=True, slots=True)
class Document:
    """The texts of one document, one a field: a text, or a source and its target; and where it stands."""

    texts: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for in files: a format, where it was said, else the one that the ending tells; and a split."""

    format: str | None = None
    split: str = "train"
    format_of: Mapping[str, str] = field(default_factory=lambda: FORMAT_OF)


def sources_of(data: Data) -> list[Source]:
    """The files that ``[data]`` names, in a fixed order: as listed, within a folder or pattern by name.

    Raises:
        DataError: Nothing is named, nothing is there, or the format cannot be told.
    """
    if not data.sources:
        raise DataError(
            f"[data] source is missing. Name files or folders of text, JSONL, CSV, Parquet or Arrow, or {BUILT_IN!r} "
            f"for the documentation that Python carries."
        )
    if data.format in LABELLED_ALONE:
        raise DataError(
            f"[data] format = {data.format!r} holds labelled examples, which pre-training does not read. Use tonne "
            f"finetune with a [task], or name text, JSONL, CSV, Parquet or Arrow."
        )
    wanted = Wanted(format=data.format, split=data.split)
    found = [source for name in data.sources for source in sources_named(name, wanted)]
    kinds = {source.holds_tokens for source in found}
    if len(kinds) > 1:
        raise DataError("[data] source names both text and files of tokens. Give one of the two.")
    return found


def documents_of(source: Source, data: Data) -> Iterator[Document]:
    """The documents of a source; those without any text are left out.

    Raises:
        DataError: A column is missing, or something in it is no text.
    """
    rows = _rows_of(source, data, data.columns or Columns(text="text"))
    return (document for document in rows if all(text.strip() for text in document.texts))


def _rows_of(source: Source, data: Data, columns: Columns) -> Iterator[Document]:
    if source.path is None:
        found = untested_pages() if source.built_in == UNTESTED_SOURCE else pages(built_in_corpus())
        return (Document((text,), f"{source.built_in}: {module}") for module, text in found)
    if source.format == "text":
        return (Document((text,), where) for text, where in text_documents(source.path, unit=data.documents))
    if source.format in ("csv", "tsv"):
        tab = source.format == "tsv"
        rows = csv_rows(source.path, columns.names, separator="\t" if tab else ",")
    else:
        rows = TABLES[source.format](source.path, columns.names)
    return (Document(texts, where) for texts, where in rows)


def sources_named(name: str, wanted: Wanted) -> list[Source]:
    """The sources that one entry of ``source`` means.

    Raises:
        DataError: Nothing is there, or the format cannot be told.
    """
    if name in (BUILT_IN, UNTESTED_SOURCE):
        return [Source(path=None, format="text", built_in=name)]
    path = Path(name)
    if path.is_dir():
        return _sources_in(path, wanted)
    files = [path] if path.is_file() else [found for found in _fitting(path) if found.is_file()]
    if not files:
        raise DataError(f"source {name!r} is not there: no file, no folder, no pattern that fits one. Mend the path.")
    return [Source(path=file, format=_format_of(file, wanted)) for file in files]


def _fitting(pattern: Path) -> list[Path]:
    """What fits a pattern such as ``text/**/*.txt``, by name."""
    return sorted(Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))


def _sources_in(folder: Path, wanted: Wanted) -> list[Source]:
    """The files of a folder, or the dataset that it is."""
    if any((folder / name).exists() for name in DATASET_FILES):
        return [Source(path=file, format="arrow") for file in _dataset_files(folder, wanted.split)]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    fitting = [path for path in files if wanted.format is not None or path.suffix.lower() in wanted.format_of]
    fitting = [path for path in fitting if wanted.format is None or _suffix_fits(path, wanted)]
    if not fitting:
        held = ", ".join(sorted({path.suffix or path.name for path in files})[:8]) or "nothing"
        raise DataError(
            f"{folder} holds no {wanted.format or 'text that is known by its name'} ({held} instead). "
            f"Known endings: {', '.join(wanted.format_of)}."
        )
    found = [Source(path=file, format=_format_of(file, wanted)) for file in fitting]
    if len({source.format for source in found}) > 1:
        kinds = ", ".join(sorted({source.format for source in found}))
        raise DataError(f"{folder} holds several formats: {kinds}. Say which one, e.g. format = {found[0].format!r}.")
    return found


def _suffix_fits(path: Path, wanted: Wanted) -> bool:
    """Whether a file of a folder has the wanted format; what no ending tells belongs to text only."""
    told = wanted.format_of.get(path.suffix.lower())
    return wanted.format == told or (told == "bin" and wanted.format in TOKEN_FORMATS)


def _format_of(path: Path, wanted: Wanted) -> str:
    told = wanted.format or wanted.format_of.get(path.suffix.lower())
    if told is None:
        raise DataError(
            f"{path}: the ending {path.suffix!r} does not tell the format. Say it, e.g. format = 'text'; known "
            f"endings: {', '.join(wanted.format_of)}."
        )
    if told == "bin":
        return "modded-nanogpt-bin" if is_modded(path) else "nanogpt-bin"
    return told


def _dataset_files(folder: Path, split: str) -> list[Path]:
    """The files of a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    from tonne.train.readers_tables import dataset_files  # noqa: PLC0415 - reads JSON; only such folders need it

    return dataset_files(folder, split)
