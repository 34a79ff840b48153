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
    "modelled accelerators fitted to what the meter of the whole told": "模型估算的加速器已按整机电表的读数调整",
    "modelled cpu and memory fitted to what the meter of the whole told":
        "模型估算的处理器和内存已按整机电表的读数调整",
    "accelerator NVIDIA A100: 60% of its 400 W, as boards of its family draw in training":
        "加速器 NVIDIA A100：按其 400 W 的 60% 估算，即同系列板卡训练时的功率",
    "cpu is not measured: a virtual machine does not see its host's counters; nothing mends it":
        "处理器 没有实测：虚拟机看不到宿主机的计数器；没有办法补救",
    "US-CA has only a direct factor; lifecycle was asked for": "US-CA 只有直接排放系数；要求的是全生命周期系数",
    "water is unknown on site (wue_l_per_kwh) and at the power plants: no factor is known for this place.":
        "机房内（wue_l_per_kwh）和发电厂的用水未知：没有该地点的系数。",
}  # fmt: skip
PIECES = re.compile(r"\{\w+\}|[.:;(]\s|\sand\s|runs? ha(?:s|ve)\s")  # blanks, and where code puts pieces together


# Where notes are made that an account or a run keeps, and texts there that are no whole note: pieces, and what only
# commands print.
ROOMS = ("measure", "forecasting", "impact", "workflow", "integrations/codecarbon", "ledger", "model/module_count.py")
WHOLE_ROOMS = ("measure/parts.py", "measure/models")  # that return notes without calling them so
NO_NOTE = {
    " fitted to what the meter of the whole told": "a piece of three notes, which MEASURED has",
    "{}: x{}, its interval from a factor of {} to {} either way.": "the end of a note",
    "{}; runners-up: {}.": "as above",
    "{}: {} readings could not be used (NaN, negative or failed); {}": "its last blank is one of two texts",
    "{} are not read: {}; {}": "its first blank is own meters",
    "{} {} no purpose: {}.": "of lenses, which have a test of their own",
    "U = {} looks like occupancy (the share of time in which a chip is busy, 0.9 to 0.99 in nvidia-smi), not like MFU "
    "(0.2 to 0.5): compute would be overstated two to five times.": "of `tonne check eu`, which is English",
    "instruments of the contract; offsets are not netted": "of the form ghg, which is English",
    "by the grid's direct factor; fuel upstream (scope 3, category 3) is not in it, and unknown": "as above",
    "fuel upstream (scope 3, category 3) is in it where the grid factor is life-cycle, and not told apart here":
        "as above",
    "sudo modprobe -r intel_rapl_msr && sudo modprobe intel_rapl_msr": "a command",
    "sudo chmod a+r {}/intel-rapl*/energy_uj": "as above",
}  # fmt: skip


class Texts:
    """The texts that a file puts together, blanks as {}: each way that a choice may go."""

    def __init__(self, tree):
        self.constants = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.constants[node.targets[0].id] = self.of(node.value)

    def of(self, node):
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values)
        if isinstance(node, ast.Name):
            return self.constants.get(node.id, [])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return [re.sub(r"\{\w*\}", "{}", text) for text in self.of(node.func.value)]
        return [text for one in self._parts(node) for text in self.of(one)]

    @staticmethod
    def _parts(node):
        names = {ast.IfExp: ("body", "orelse"), ast.Starred: ("value",), ast.ListComp: ("elt",),
                 ast.GeneratorExp: ("elt",), ast.BinOp: ("left", "right"), ast.BoolOp: ("values",),
                 ast.List: ("elts",), ast.Tuple: ("elts",), ast.Set: ("elts",)}.get(type(node), ())  # fmt: skip
        found = [getattr(node, name) for name in names]
        return found[0] if found and isinstance(found[0], list) else found

    def _joined(self, values):
        found = [""]
        for value in values:
            each = [value.value] if isinstance(value, ast.Constant) else self.of(value.value) or ["{}"]
            found = [text + one for text in found for one in each]
        return found


def made_notes(path, *, all_of_it):
    """Texts that a file appends to notes, returns from functions of notes, or gives as reasons of missing sensors."""
    tree = ast.parse(path.read_text("utf-8"))
    texts, nodes = Texts(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ("note" in node.name or all_of_it):
            nodes += [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if re.search(r"notes\.(append|extend|add)$|^Missing$", called):
                nodes += node.args
            nodes += [word.value for word in node.keywords if word.arg and "note" in word.arg]
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            to = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            nodes += [node.value] if re.search(r"note|reason", to) else []
    return {text for node in nodes for text in texts.of(node) if len(text.split()) > 3}


@pytest.mark.parametrize("room", ROOMS)
def test_every_note_that_the_code_can_make_has_a_pattern(room):
    source = Path(tonne.__file__).parent
    place = source / room
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    made = set()
    for path in paths:
        whole = any(path.is_relative_to(source / one) for one in WHOLE_ROOMS)
        made |= made_notes(path, all_of_it=whole)
    assert made or room == "impact"
    assert untold(text.replace("{}", "7") for text in sorted(made - set(NO_NOTE))) == []


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


@pytest.mark.slow
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


@pytest.mark.slow
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
