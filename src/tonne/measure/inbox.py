"""What the ledger will take in: one line of JSON a file, so that writers need no lock and a crash tears nothing.

Whoever forecasts or measures stays light: the ledger reads the inbox when it is next opened.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tonne.measure.environment import OFF, home, ledger

INBOX = "inbox"
SUFFIX = ".json"
SCHEMA = "1"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def put(kind: str, fields: Mapping[str, Any], folder: str | None = None, name: str | None = None) -> str | None:
    """Leave a line for the ledger.

    Args:
        kind: "forecast", "run" (a folder with a journal), "work" (what a run worked) or "import".
        fields: Built-in types.
        folder: Of the inbox; left out, the one below TONNE_HOME.
        name: Of the file, where a later line shall take the place of an earlier one; left out, a new one.

    Returns:
        The path of the file; None where TONNE_LEDGER=off, or where the disk refuses, of which a warning is logged:
        nobody's run ends for it.
    """
    if ledger() == OFF:
        return None
    folder = folder or os.path.join(home(), INBOX)
    name = name or f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(2).hex()}"
    path = os.path.join(folder, name + SUFFIX)
    line = {"kind": kind, "schema_version": SCHEMA, "unix_s": time.time(), **fields}
    part = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.part"  # its own: another may leave a line of that name just now
    try:
        os.makedirs(folder, exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
        os.replace(part, path)
    except OSError as error:
        from logging import getLogger  # noqa: PLC0415 - only where there is something to say

        getLogger(__name__).warning("tonne: nothing was left for the ledger (%s: %s).", folder, error.strerror)
        return None
    return path
