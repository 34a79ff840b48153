"""Faults of tonne exit 1 with one line; published runs are compared from a checkout without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tonne.cli import main


def test_internal_error_is_one_line_and_exit_1(monkeypatch, capsys):
    def broken() -> None:
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr(main, "app", broken)
    monkeypatch.delenv("TONNE_DEBUG", raising=False)
    with pytest.raises(SystemExit) as exit_:
        main.run()
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith("Internal error: RuntimeError: a wheel came off.")


@pytest.mark.slow
def test_the_comparison_with_published_runs_is_printed_and_drawn(repository, tmp_path):
    pytest.importorskip("altair")
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); assert 'torch' not in sys.modules"
    script = f"import sys; sys.argv = sys.argv[1:]; {code.replace('sys.argv[1]', 'sys.argv[0]')}"
    command = [sys.executable, "-c", script, str(repository / "examples" / "published_runs.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "175B parameters" in done.stdout
    assert "million USD" in done.stdout
    assert (tmp_path / "published_runs.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "published_runs.svg").read_text(encoding="utf-8")
