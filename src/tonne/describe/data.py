"""The sections ``[data]`` and ``[tokenizer]``: what is trained on, where it lies, and what its tokens are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tonne.describe.section import Section
from tonne.errors import DescriptionError

BUILT_IN = "builtin"  # as a source: the documentation that the Python interpreter carries
BUILT_IN_EXAMPLES = "builtin:"  # and labelled examples, by the name that follows
LARGEST_VALIDATION_FRACTION = 0.5
# json: a list of objects; squad: questions on contexts; parallel: two text files, line by line: labelled examples
DataFormat = Literal[
    "text", "jsonl", "csv", "tsv", "parquet", "arrow", "nanogpt-bin", "modded-nanogpt-bin", "store",
    "json", "squad", "parallel",
]  # fmt: skip
TokenizerKind = Literal["bpe", "wordpiece", "unigram"]


class Columns(Section):
    """Which columns hold the text: one ``text``, or a ``source`` with its ``target``."""

    text: str | None = None
    source: str | None = None
    target: str | None = None

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        given = [name for name in ("text", "source", "target") if getattr(self, name) is not None]
        if given not in (["text"], ["source", "target"]):
            raise DescriptionError(
                f"columns names {' and '.join(given) or 'nothing'}. Name text alone, e.g. columns = 'text', or source "
                f"and target, e.g. columns = {{ source = 'en', target = 'de' }}."
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, in their order."""
        return tuple(name for name in (self.text, self.source, self.target) if name is not None)


class Data(Section):
    """Tokens that enter the model, how long its sequences are, and where a run finds them."""

    tokens: float = Field(gt=0, description="source plus target tokens for an encoder-decoder")
    sequence_length: int | None = Field(default=None, ge=1)
    source_length: int | None = Field(default=None, ge=1)
    target_length: int | None = Field(default=None, ge=1)
    answer_fraction: float = Field(default=1.0, gt=0, le=1, description="instruction: share of tokens with a loss")
    source: str | tuple[str, ...] | None = Field(default=None, description="files, folders, patterns, or 'builtin'")
    format: DataFormat | None = Field(default=None, description="left out: told by the names of the files")
    columns: Columns | None = Field(default=None, description="of tables; left out: one column named text")
    documents: Literal["file", "paragraph", "line"] = Field(default="file", description="what a document of a text is")
    split: str = Field(default="train", description="of an Arrow folder that holds several")
    validation_fraction: float = Field(default=0.0, ge=0, le=LARGEST_VALIDATION_FRACTION)
    validation_source: str | tuple[str, ...] | None = Field(default=None, description="labelled examples held out")

    @field_validator("tokens")
    @classmethod
    def _whole(cls, tokens: float) -> float:
        if tokens < 1:
            raise DescriptionError("there is less than one token. Give the number of tokens, e.g. 300e9.")
        return float(round(tokens))

    @field_validator("columns", mode="before")
    @classmethod
    def _single(cls, columns: Any) -> Any:  # noqa: ANN401 - whatever the file held
        """A name alone is that of the text."""
        return {"text": columns} if isinstance(columns, str) else columns

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the text lies; empty where it was not said."""
        return _several(self.source)

    @property
    def validation_sources(self) -> tuple[str, ...]:
        """Where held-out examples lie; empty where they are a share of the others, or there are none."""
        return _several(self.validation_source)

    @model_validator(mode="after")
    def _held_out_once(self) -> Self:
        if self.validation_source is not None and self.validation_fraction:
            raise DescriptionError(
                f"validation_source names what is held out, and validation_fraction={self.validation_fraction:g} holds "
                f"out more. Give one of them."
            )
        return self


class Tokenizer(Section):
    """A tokenizer that exists (``file``), or how one is trained on the run's own text."""

    file: str | None = Field(default=None, description="a tokenizer.json, or the folder of one")
    kind: TokenizerKind | None = Field(default=None, description="left out: that of the objective")
    vocabulary: int | None = Field(default=None, ge=2, description="left out: 8,192, or that of the model if smaller")
    lowercase: bool = False

    @model_validator(mode="after")
    def _loaded_or_trained(self) -> Self:
        trained = [name for name in ("kind", "vocabulary", "lowercase") if name in self.model_fields_set]
        if self.file is not None and trained:
            raise DescriptionError(
                f"[tokenizer] names a file, and {' and '.join(trained)} of one to be trained. Leave file out to train "
                f"one, or the others to use {self.file}."
            )
        return self


def data_paths_from(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields of a plan file with the paths of ``[data]`` and ``[tokenizer]`` taken from the file's folder."""
    data, tokenizer = fields.get("data"), fields.get("tokenizer")
    for name in ("source", "validation_source"):
        if isinstance(data, dict) and isinstance(data.get(name), str | list):
            given = data[name]
            paths = [_beside(path, folder) for path in ([given] if isinstance(given, str) else given)]
            data = {**data, name: paths[0] if isinstance(given, str) else paths}
            fields = {**fields, "data": data}
    if isinstance(tokenizer, dict) and isinstance(tokenizer.get("file"), str):
        fields = {**fields, "tokenizer": {**tokenizer, "file": _beside(tokenizer["file"], folder)}}
    return fields


def _beside(path: Any, folder: Path) -> Any:  # noqa: ANN401 - whatever the file held
    built_in = path == BUILT_IN or (isinstance(path, str) and path.startswith(BUILT_IN_EXAMPLES))
    return str(folder / path) if isinstance(path, str) and not built_in else path


def _several(paths: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if paths is None:
        return ()
    return (paths,) if isinstance(paths, str) else paths
