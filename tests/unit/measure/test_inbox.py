"""Lines for the ledger that several leave at once."""

from __future__ import annotations

import json
import os

from tonne.measure import inbox


def test_two_lines_of_one_name_at_the_same_time_end_as_one_and_nobody_is_told_of_a_fault(tmp_path, monkeypatch, caplog):
    """A run that ends in its first moment is left by the thread that ends it and by the one that reads sensors."""
    replace = os.replace
    beside = []

    def slow(part, path):
        if not beside:
            beside.append(None)
            assert inbox.put("run", {"run": "a", "by": "other"}, str(tmp_path), "run-a") == path
        replace(part, path)

    monkeypatch.setattr(os, "replace", slow)
    path = inbox.put("run", {"run": "a", "by": "first"}, str(tmp_path), "run-a")
    assert [str(one) for one in tmp_path.iterdir()] == [path]
    assert json.loads((tmp_path / "run-a.json").read_text())["by"] == "first"
    assert caplog.messages == []
