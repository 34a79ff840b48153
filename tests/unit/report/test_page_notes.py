"""Notes on Chinese pages: told in Chinese where a pattern fits all of one, else as they were recorded, and marked."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("altair")
sys.path.insert(0, str(Path(__file__).parent))

import page_samples as samples

import tonne
from tonne.describe.plan import TrainingPlan
from tonne.forecasting import forecast
from tonne.ledger.lenses.rules import lenses
from tonne.ledger.lenses.view import view
from tonne.report.page import of_run, page_of
from tonne.report.page.html import html
from tonne.report.page.language import words_of
from tonne.report.page.notes import note_cell, patterns_of, phrase_cell

ZH = words_of("zh")
ROOT = Path(__file__).parents[3]
PLANS = [*sorted((ROOT / "examples").glob("*.toml")), ROOT / "tests" / "golden" / "plan.toml"]
MEASURED = {  # as meters left them; what stands in blanks stays as it was
    "memory: 0.736 modules of 3 W": "内存：0.736 条，每条 3 W",
    "rest of the host: 60 W and 20% of what is in it": "主机其余部分：60 W，加其内部各部分的 20%",
    "cpus.csv does not know the processor 'AMD EPYC': design power is that of servers, by the thread":
        "cpus.csv 中没有处理器 'AMD EPYC'：设计功率按服务器每线程的值估算",
    "fake:cpu: 0.5 s of 9.0 s were not read, and are interpolated: no reading (0.5 s)":
        "fake:cpu：9.0 秒中有 0.5 秒没有读数，已插值：没有读数（0.5 秒）",
    "the plan's [cluster] names L4; the run was made on a processor": "计划的 [cluster] 写的是 L4；实际运行于处理器",
    "US-CA has only a direct factor; lifecycle was asked for": "US-CA 只有直接排放系数；要求的是全生命周期系数",
    "water is unknown on site (wue_l_per_kwh) and at the power plants: no factor is known for this place.":
        "机房内（wue_l_per_kwh）和发电厂的用水未知：没有该地点的系数。",
}  # fmt: skip
PIECES = re.compile(r"\{\w+\}|[.:;(]\s|\sand\s|runs? ha(?:s|ve)\s")  # blanks, and where code puts pieces together


def untold(notes):
    return [note for note in notes if note_cell(note, ZH).own_language]


@pytest.mark.slow
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_note_of_a_forecast_of_the_example_plans_is_told_in_chinese(path):
    made = forecast(TrainingPlan.from_toml(path))
    assert untold([*made.notes, *made.account.notes]) == []


@pytest.mark.parametrize("note", MEASURED)
def test_notes_of_measured_accounts_are_told_in_chinese(note):
    assert note_cell(note, ZH).text == MEASURED[note]


def test_every_note_of_the_measured_samples_is_told_in_chinese():
    runs = [samples.gpu_run(), samples.cpu_run(), *samples.project_runs()]
    assert untold({note for run in runs if run.account for note in run.account.notes}) == []


@pytest.mark.parametrize("name", lenses())
def test_every_note_of_a_lens_is_told_in_chinese(name):
    lens, runs = lenses()[name], samples.project_runs()
    assert untold([*view(lens, runs).notes, *view(lens, runs[-1:]).notes, *view(lens, runs[-1:] * 2).notes]) == []


def test_a_note_that_no_pattern_fits_stays_as_it_was_recorded_and_is_marked():
    page = html(page_of(of_run(samples.gpu_run()), "zh"))
    assert '<li lang="en">one restart at noon</li>' in page
    assert "<li>内存：64 条，每条 3 W</li>" in page
    assert "<li>memory: 64 modules of 3 W</li>" in html(page_of(of_run(samples.gpu_run()), "en"))


def test_a_part_of_a_note_is_never_told_for_the_whole():
    assert untold(["the size of the memory is not known, says the board"])
    assert untold(["the size of the memory is not known; one restart at noon"])
    both = "the size of the memory is not known; US-CA has only a direct factor"
    assert untold([both])


def test_several_notes_in_one_are_told_where_each_can_be():
    assert note_cell("nothing mends it; at the power plants", ZH).text == "没有办法补救；发电厂"


def test_what_the_program_chose_is_told_word_by_word_or_not_at_all():
    text = "tensor 8 x pipeline 4 x data 512, 4 virtual stages, micro-batch 1 x 4, recomputation none, zero-1"
    told = phrase_cell(text, ZH)
    assert told.text == "张量并行 8 × 流水线并行 4 × 数据并行 512, 4 个虚拟阶段, 微批 1 × 4, 不重计算, zero-1"
    assert not told.own_language
    assert phrase_cell("tensor 8 x rings 4", ZH).text == "tensor 8 x rings 4"
    assert phrase_cell("tensor 8 x rings 4", ZH).own_language
    assert phrase_cell(text, words_of("en")).text == text


def test_patterns_have_the_blanks_of_their_texts():
    catalogue = json.loads((files("tonne.report.page") / "words" / "notes.zh.json").read_text("utf-8"))
    for english, chinese in catalogue["notes"]:
        known = set(re.findall(r"(?<!\{)\{(\w+)\}", english))
        assert set(re.findall(r"(?<!\{)\{(\w+)\}", chinese)) <= known, english
    assert len(patterns_of("zh").notes) == len(catalogue["notes"])


def test_every_pattern_is_of_a_note_that_the_code_still_makes():
    """A note that is written otherwise from now on needs another pattern: its pieces are looked for in the code."""
    catalogue = json.loads((files("tonne.report.page") / "words" / "notes.zh.json").read_text("utf-8"))
    said = "\n".join(
        node.value
        for path in Path(tonne.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    pieces = {
        piece.strip(" .:;()")
        for english, _ in catalogue["notes"]
        for piece in PIECES.split(english.replace("{{", "{").replace("}}", "}"))
    }
    assert [piece for piece in sorted(pieces) if len(piece) > 9 and piece not in said] == []
