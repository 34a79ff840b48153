"""The corpus that the interpreter carries."""

from __future__ import annotations

import json
import textwrap

import pytest

from tonne.errors import DataError
from tonne.train import corpus


@pytest.fixture
def library(tmp_path):
    """A small standard library."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_a.py").write_text('"""A test."""')
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('"""The package."""')
    (tmp_path / "b.py").write_text(
        textwrap.dedent('''
            """Module b."""
            class C:
                """Class C."""
                def m(self):
                    """Method m.

                        Indented.
                    """
                    def inner():
                        """Inner."""
            if True:
                async def f():
                    """Function f."""
            def silent(): pass
        ''')
    )
    (tmp_path / "broken.py").write_text("def (:")
    return tmp_path


def test_docstrings_come_in_order_with_their_names(library):
    found = [d for file in corpus.source_files(library) for d in corpus.docstrings_of(file, library)]
    assert [(d.module, d.name, d.kind, d.text) for d in found] == [
        ("b", "", "module", "Module b."),
        ("b", "C", "class", "Class C."),
        ("b", "C.m", "function", "Method m.\n\nIndented."),
        ("b", "C.m.inner", "function", "Inner."),
        ("b", "f", "function", "Function f."),
        ("pkg", "", "module", "The package."),
    ]


def test_a_stripped_interpreter_is_explained(library, monkeypatch):
    monkeypatch.setattr(corpus, "topics", list)
    with pytest.raises(DataError, match=r"only 66 bytes.*Missing: the topics of help\(\) \(pydoc_data\).*apt-get"):
        corpus.built_in_corpus(library)
    with pytest.raises(DataError, match="the source files of the standard library under"):
        corpus.built_in_corpus(library / "nowhere")


def test_pages_keep_modules_apart_and_lose_nothing(library):
    docstrings = [d for file in corpus.source_files(library) for d in corpus.docstrings_of(file, library)]
    assert list(corpus.pages(docstrings)) == [
        ("b", "Module b.\n\nClass C.\n\nMethod m.\n\nIndented.\n\nInner.\n\nFunction f."),
        ("pkg", "The package."),
    ]


def test_long_docstrings_are_cut_at_paragraphs():
    text = "\n\n".join(f"{number} " + "x" * 900 for number in range(5))
    docstring = corpus.Docstring(module="m", name="f", kind="function", text=text)
    found = [page for _, page in corpus.pages([docstring])]
    assert [len(page) for page in found] == [1806, 1806, 902]  # two paragraphs of 902 and a blank line, twice, and one
    assert "\n\n".join(found) == text


@pytest.mark.slow
def test_the_interpreter_carries_about_two_megabytes():
    found = corpus.built_in_corpus()
    size_bytes = sum(len(d.text.encode()) for d in found)
    assert 1.8e6 < size_bytes < 3.0e6  # 2.09 MB in Python 3.11.7
    assert {d.kind for d in found} == {"module", "class", "function", "topic"}
    assert json.loads.__doc__.split()[0] in next(d.text for d in found if (d.module, d.name) == ("json", "loads"))
    assert not any("test" in d.module.split(".") for d in found)
