"""What a word of the command line is taken to mean."""

from __future__ import annotations

from tonne.cli.subjects import _is_plan


def test_a_folder_with_the_name_of_a_project_is_no_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert not _is_plan("demo")
    (tmp_path / "demo" / "config.json").write_text("{}", encoding="utf-8")
    assert _is_plan("demo")
