"""What users call their runs and projects is text in every form: never HTML, a link, a cell of a table, a heading."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tonne.report.exports.formats import exported
from tonne.report.exports.latex import escaped as in_latex
from tonne.report.exports.markdown import in_cell, inline
from tonne.report.exports.subject import Declared, Subject
from tonne.report.page.markdown import escaped

NASTY = "<img src=x onerror=alert(1)> a|b `c` & *d* _e_ [l](javascript:alert(2)) &lt;i&gt;\n# <script>x</script> \\<u>"
PLAIN = " ".join(NASTY.split())
FORMS = ["eu-form", "model-card", "climate-card", "neurips", "sci", "ghg"]


def commonmark(text):
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def python_markdown(text):
    return pytest.importorskip("markdown").markdown(text, extensions=["tables"])


READERS = [commonmark, python_markdown]


def words_of(html):
    """Its text, as a browser shows it."""
    import html as entities

    return entities.unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("written", [inline, escaped, lambda text: in_cell(text)], ids=["inline", "page", "cell"])
def test_a_name_is_shown_as_it_was_written(reader, written):
    found = reader(f"- {written(NASTY)}\n")
    assert set(re.findall(r"<(\w+)", found)) == {"ul", "li"}
    assert words_of(found).strip() == PLAIN


@pytest.mark.parametrize("reader", READERS)
def test_a_name_in_a_table_is_one_cell(reader):
    found = reader(f"| a | b |\n|---|---|\n| {in_cell(NASTY)} | 1 |\n")
    assert found.count("<td") == 2
    assert PLAIN in words_of(found)


def test_commands_of_ours_stay_code_and_plain_texts_what_they_are():
    text = (
        "tag it, e.g. `tonne runs tag ID --purpose final`: see the lens `project`; 10^25 FLOP, gpt_2_small, [unknown]"
    )
    assert inline(text) == text
    assert inline("a `tonne <b>` c") == "a \\`tonne &lt;b&gt;\\` c"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", FORMS)
def test_no_form_lets_a_name_become_html(run, form, reader):
    nasty = replace(run(), name=NASTY, project=NASTY, purpose=None, tags=(NASTY,), notes=(NASTY,),
                    site={"grid": "FR", "pue": {"value": 1.2, "source": NASTY}})  # fmt: skip
    declared = Declared(organisation=NASTY, contact=NASTY, version=NASTY, cloud_provider=NASTY)
    subject = Subject(name=NASTY, runs=(nasty, replace(nasty, id="r2", account=None)), declared=declared)
    found = reader(exported(subject, form).text)
    allowed = {"ol", "h1", "h2", "h3", "p", "ul", "li", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<(\w+)", found)) <= allowed
    assert "href" not in found


def test_a_name_in_latex_is_on_one_line_and_has_no_commands():
    assert in_latex("a\n\nb`c`\t\\x") == r"a b\textasciigrave{}c\textasciigrave{} \textbackslash{}x"
