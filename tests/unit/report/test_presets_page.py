"""The page of presets."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from tonne.cli.counts import OBJECTIVES as OBJECTIVES_OF_COUNT
from tonne.cli.counts import default_length
from tonne.cli.main import app
from tonne.describe.architecture import Architecture
from tonne.reference.architectures import architecture_rows
from tonne.report.numbers import rounded
from tonne.report.presets_page import OBJECTIVES, difference, page, printed, training_length

ROWS = architecture_rows()
PAGE = page()


def cells_of(preset: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{re.escape(preset)}` .*\]\(http.*$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_preset_has_one_line_in_the_order_of_the_table():
    listed = re.findall(r"^\| `(.+?)` \|.*\]\(http", PAGE, re.MULTILINE)
    timed = [preset for preset, row in ROWS.items() if row["family"] == "Megatron scaling table"]
    assert len(timed) == 10
    assert listed == [preset for preset in ROWS if preset not in timed] + timed
    assert PAGE.index("## Benchmark shapes") < PAGE.index("`megatron-table1-1.7b`")


def test_line_of_llama_65b_by_hand():
    # 2048 tokens; 16 bytes a parameter; kept of a token in a layer, 16-bit: the inputs of two norms, of the attention
    # and of the feed-forward (4 widths), queries, keys, values and output (4 widths), three inner states of 22016,
    # and two masks of a byte; logits of 32000 words in 2 and 4 bytes
    parameters = 2 * 32000 * 8192 + 80 * (4 * 8192**2 + 3 * 8192 * 22016 + 2 * 8192) + 8192
    kept = 80 * 2048 * (2 * (4 * 8192 + 4 * 8192 + 3 * 22016) + 2 * 8192)
    memory_bytes = 16 * parameters + kept + 2048 * 32000 * 6
    # 6 a matrix entry (the input table is none), and causal scores and values
    flop = 6 * (32000 * 8192 + 80 * (4 * 8192**2 + 3 * 8192 * 22016)) + 6 * 80 * 8192 * 2049
    assert cells_of("llama-65b")[:6] == [
        "`llama-65b`",
        f"{parameters:,}",
        "same",
        f"{flop / 1e9:.1f}",
        "2,048",
        f"{round(memory_bytes / 1e9, -1):,.0f}",
    ]


def test_experts_have_a_column_of_active_parameters():
    # Jiang et al. 2024: 2 of 8 experts of 14336 in 32 layers of width 4096, 8 of 32 heads for keys and values
    layer = 4096 * 128 * (2 * 32 + 2 * 8) + 2 * 3 * 4096 * 14336 + 8 * 4096 + 2 * 4096
    assert cells_of("mixtral-8x7b")[2] == f"{2 * 32000 * 4096 + 32 * layer + 4096:,}"


def test_recalled_rows_are_marked_and_no_others():
    marked = set(re.findall(r"^\| `(.+?)` \|.*\| \*\*\*recalled\*\*\* \|$", PAGE, re.MULTILINE))
    assert marked == {"nllb-200-moe-54b", "gshard-m4-600b", "apertus-70b"}


@pytest.mark.parametrize("preset", [preset for preset, row in ROWS.items() if not row["sequence_length_train"]])
def test_length_is_that_of_tonne_count_where_none_is_known(preset):
    architecture = Architecture.preset(preset)
    assert training_length(ROWS[preset], architecture) == default_length(architecture)
    assert re.search(r"^\*[\d,]+( \+ [\d,]+)?\*$", cells_of(preset)[-4])


@pytest.mark.parametrize(
    ("preset", "length"), [("t5-3b", 512), ("bert-large-uncased", 512), ("deepseek-v3-671b", 4096)]
)
def test_line_is_what_tonne_count_prints(preset, length):
    command = ["count", preset, "--sequence-length", str(length), "--json"]
    found = json.loads(CliRunner().invoke(app, command).stdout)
    cells = cells_of(preset)
    assert cells[1] == f"{found['counts']['parameters']:,}"
    assert cells[-5] == rounded(found["counts"]["training_flop_per_token"] / 1e9, 4)
    assert cells[-3] == rounded(found["memory"]["training_total_bytes"] / 1e9, 3)


def test_what_is_predicted_is_what_tonne_count_says():
    assert OBJECTIVES == OBJECTIVES_OF_COUNT


def test_each_link_to_a_family_has_its_heading():
    from markdown.extensions.toc import slugify

    headings = {slugify(heading, "-") for heading in re.findall(r"^### (.+)$", PAGE, re.MULTILINE)}
    links = re.findall(r"\]\(#(.+?)\)", PAGE)
    assert len(links) == len(set(links)) == 76
    assert set(links) < headings


def test_differences_and_published_figures_in_words():
    assert difference(63_045_632, 65_000_000) == "-3.01\N{NO-BREAK SPACE}%"  # 1 - 63.045632 / 65 = 0.03007
    assert difference(999_999, 1_000_000) == "0.00\N{NO-BREAK SPACE}%"
    assert difference(7, 7) == "same"
    assert [printed(n) for n in (65_000_000, 1_040_000_000_000, 109_482_240)] == ["65M", "1.04T", "109,482,240"]
