"""The page of presets: every published shape with what is counted of it, as Markdown."""

from __future__ import annotations

from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tonne.count.memory import memory_per_accelerator
from tonne.count.workload import Counts, counts_of
from tonne.describe.architecture import Architecture
from tonne.reference.architectures import architecture_rows
from tonne.report.numbers import COUNT, rounded, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, str]

BENCHMARKS = ("Megatron scaling table",)  # families of shapes that were timed, not trained
OBJECTIVES = {"encoder": "masked-lm", "decoder": "causal-lm", "encoder-decoder": "seq2seq"}  # as `tonne count`
LONGEST, LONGEST_SOURCE = 2048, 512  # tokens of a sequence where no training length is known, as `tonne count`
GIGA = 1e9
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
CHECKED = {"two-source": "two", "one-source": "one", "arithmetic": "sum", "recalled": "***recalled***"}

LEFT = frozenset({"preset", "source", "checked"})  # columns of words; all others hold numbers
ACTIVE = "active"  # a column of the families that have experts

TOP = """---
hide: [toc]
---

# Presets

<!-- Written by tonne.report.presets_page: TONNE_UPDATE_PAGES=1 pytest tests/test_documentation.py renews it. -->

{presets} published shapes, of {families} families of models and of one series of benchmarks, and what is counted of
each. For one model, with its parts and other conventions:

```console
$ tonne count gpt-3-175b --sequence-length 2048
$ tonne reference architectures gpt-3-175b
```

The first command gives the figures of a row (memory in GiB there); it also takes a `config.json`, or a plan file with a
shape of your own. The second shows the row of the table that the shape was read from, with its notes. Each preset can
stand in a plan (`preset = "gpt-3-175b"`) and after `tonne forecast`. The equations are those of
[the count page](method/count.md).

- **Preset**: the name to give. The line above a table says the kind, who made the models and when.
- **Parameters**: numbers that the model learns, counted from its shape; a tied table once.
- **Active**: those that one token meets, where there are experts. The token table is among them.
- **Published**: *same* where the count equals the published figure to the last digit; else that figure, and by how much
  the count differs from it.
- **GFLOP a token**: model FLOP of training on one token, forward and backward, in billions: true mask, experts visited,
  logits where something is predicted. Recomputation is not included. An encoder predicts 15 % of its tokens, a decoder
  all, an encoder-decoder those of a target as long as the source (T5's own are shorter).
- **Tokens**: length of the sequence that GFLOP and memory are of; source + target for an encoder-decoder. It is what
  the model was trained with; in *italics*, where that is not known, what `tonne count` assumes: what the model can
  read, at most {longest:,} tokens, or {source:,} of a source.
- **Memory, GB**: to train on one accelerator, in billions of bytes, for one such sequence. In it are 16-bit weights and
  gradients and, in 32 bits, the master weights and Adam's two moments, which make 16 bytes a parameter (all experts);
  the activations that every layer keeps for the backward pass; the logits of all tokens in 16 and in 32 bits. Nothing
  is split, moved elsewhere or computed again, and attention scores are not stored. The allocator's overhead and the
  buffers of libraries are not included.
- **Source**: the publication; hold the pointer on the link for the places that the shape was read from.
- **Checked**: *two* sources agree on the shape; *one* source gives it; *sum*: shape or figure was written down from
  memory, and the shape adds up to the figure; ***recalled***: written down from memory and not read again, so what is
  forecast from it is marked `assumed`.

Families: {index}.
"""

BENCHMARK_TOP = """
## Benchmark shapes

Configurations that were timed in a publication, not models that were trained.
"""

ACTIVE_TOP = """
## Active parameters, beside what is printed

Publications round, and some leave out the input's token table, in which a token meets one line. The count includes it,
as it does for all models. Where no active parameters were published, none stand here.
"""


def page() -> str:
    """The page as Markdown: every preset, the benchmark shapes apart, and active parameters beside published ones."""
    rows = list(architecture_rows().values())
    models = [row for row in rows if row["family"] not in BENCHMARKS]
    timed = [row for row in rows if row["family"] in BENCHMARKS]
    families = dict.fromkeys(row["family"] for row in models)
    top = TOP.format(
        presets=len(rows), families=len(families), longest=LONGEST, source=LONGEST_SOURCE, index=_index(families)
    )
    active = [_active_cells(row) for row in rows if row["parameters_active_published"]]
    return f"{top}\n## Models\n{_families(models)}{BENCHMARK_TOP}{_families(timed)}{ACTIVE_TOP}\n{_table(active)}"


def training_length(row: Row, architecture: Architecture) -> int:
    """Tokens of a sequence (of a source, for an encoder-decoder): those of the training, else as `tonne count`."""
    if row["sequence_length_train"]:
        return int(row["sequence_length_train"])
    longest = LONGEST_SOURCE if architecture.kind == "encoder-decoder" else LONGEST
    return min(architecture.max_positions, longest) if architecture.max_positions else longest


def difference(counted: int, published: int) -> str:
    """By how much a count differs from a published figure [%], in words where it does not."""
    if counted == published:
        return "same"
    apart = f"{100 * (counted / published - 1):+.2f}"
    return f"{apart.lstrip('+-') if float(apart) == 0 else apart}{NO_BREAK_SPACE}%"


def printed(published: int) -> str:
    """A published figure with all its digits that are not zeros: 65M, 1.04T, 109,482,240."""
    size, unit = scale_of(published, COUNT)
    digits = f"{published / size:.12g}"
    return f"{digits}{unit}" if len(digits) <= 6 else f"{published:,}"


def _families(rows: Iterable[Row]) -> str:
    """A heading, a line and a table for each family, in the order of the rows."""
    text = ""
    for family, members in groupby(rows, key=lambda row: row["family"]):
        kept = list(members)
        cells = [_cells(row) for row in kept]
        if not any(line[ACTIVE] for line in cells):
            cells = [{name: cell for name, cell in line.items() if name != ACTIVE} for line in cells]
        text += f"\n### {family}\n\n{_about(kept)}\n\n{_table(cells)}"
    return text


def _index(families: Iterable[str]) -> str:
    """Links to the headings, over several lines, none of which breaks a name."""
    links = (f"[{name}](#{_anchor(name)})".replace(" ", "\0") for name in families)
    return fill(", ".join(links), 116, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _table(lines: Sequence[Mapping[str, str]]) -> str:
    """A table whose header is the names of the cells."""
    header = list(lines[0])
    rule = ["---" if name in LEFT else "---:" for name in header]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *(line.values() for line in lines)))


def _anchor(family: str) -> str:
    """The part of an address that leads to the heading of a family."""
    return "".join(letter for letter in family.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def _about(family: Sequence[Row]) -> str:
    """Kind, makers and years of a family."""
    kinds = ", ".join(dict.fromkeys(row["kind"] for row in family)).capitalize()
    makers = ", ".join(dict.fromkeys(row["organisation"] for row in family))
    years = sorted({row["year"] for row in family})
    return f"{kinds}; {makers}, {' to '.join(dict.fromkeys((years[0], years[-1])))}."


def _cells(row: Row) -> dict[str, str]:
    """What the page says of one preset, in the order of the columns."""
    counts, memory_bytes = _counted(row)
    active = counts.active_parameters
    return {
        "preset": f"`{row['id']}`",
        "parameters": f"{counts.parameters:,}",
        ACTIVE: f"{active:,}" if active != counts.parameters else "",
        "published": _published(counts.parameters, int(row["parameters_published"])),
        "GFLOP a token": rounded(counts.model_flop_per_token / GIGA, 4),
        "tokens": _tokens(row, counts),
        "memory, GB": rounded(memory_bytes / GIGA, 3),
        "source": _source(row),
        "checked": CHECKED[row["verification"]],
    }


def _active_cells(row: Row) -> dict[str, str]:
    """Active parameters of one preset, counted and published."""
    counts, published = _counted(row)[0], int(row["parameters_active_published"])
    counted = counts.active_parameters
    return {
        "preset": f"`{row['id']}`",
        "active": f"{counted:,}",
        "without the token table": f"{counted - counts.parts['embedding']:,}",
        "published": printed(published),
        "difference": difference(counted, published),
    }


def _counted(row: Row) -> tuple[Counts, float]:
    """Counts of one preset, and the bytes of its training on one accelerator, at the length of the page."""
    architecture = Architecture.preset(row["id"])
    length = training_length(row, architecture)
    counts = counts_of(architecture, tokens=1, sequence_length=length, objective=OBJECTIVES[architecture.kind])
    return counts, memory_per_accelerator(architecture, sequence_length=counts.sequence_length).total_bytes


def _published(counted: int, published: int) -> str:
    apart = difference(counted, published)
    return apart if counted == published else f"{printed(published)} {apart}"


def _tokens(row: Row, counts: Counts) -> str:
    """Length of the sequence, in italics where it is assumed; both halves of an encoder-decoder's."""
    half = counts.sequence_length // 2
    both = f"{half:,} + {counts.sequence_length - half:,}"
    text = both if row["kind"] == "encoder-decoder" else f"{counts.sequence_length:,}"
    return text if row["sequence_length_train"] else f"*{text}*"


def _source(row: Row) -> str:
    """A link to the publication, with the places that the shape was read from as its title."""
    address = urlsplit(row["url"])
    host = address.netloc.removeprefix("www.")
    name = f"arXiv {address.path.removeprefix('/abs/')}" if host == "arxiv.org" else host
    title = row["source"].replace('"', "'")
    return f'[{name}]({row["url"]} "{title}")'
