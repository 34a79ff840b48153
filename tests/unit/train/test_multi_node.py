"""Two nodes: torchrun's own rendezvous between two network namespaces, joined by a pair of virtual links."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.slow

FIRST, SECOND, PORT = "10.231.77.1", "10.231.77.2", 29477
CODE = """
import json, sys
from pathlib import Path
from tonne.describe.recipe import Recipe
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder

fields, folder, stores = json.loads(sys.argv[1])
recipe = Recipe.model_validate(fields)
job = job_of(recipe, store_folder(recipe, Path(stores)))
job.model.double()
fit(job, folder, session=Session(device="cpu", stream=None))
"""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@pytest.fixture
def nodes():
    """Names of two namespaces that reach each other, and nothing else."""
    wanted = os.environ.get("TONNE_REQUIRE_SERVICES") == "1"
    if (os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None) and not wanted:
        pytest.skip("network namespaces need root and ip(8)")
    names = [f"tonne-{os.getpid()}-{number}" for number in (1, 2)]
    links = [f"tn{os.getpid() % 100000}{letter}" for letter in "ab"]
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
            for name, link, address in zip(names, links, (FIRST, SECOND), strict=True):
                ip("link", "set", link, "netns", name)
                ip("-n", name, "address", "add", f"{address}/24", "dev", link)
                ip("-n", name, "link", "set", link, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted:
                raise
            pytest.skip(f"this machine gives no network namespaces: {error}")
        yield names, links
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def test_two_nodes_make_the_run_of_one_process(nodes, tmp_path, tiny_fields, tiny_folder, lines_of):
    fields = tiny_fields(training={"learning_rate": 1e-3})
    script = tmp_path / "script.py"
    script.write_text(CODE, encoding="utf-8")
    stores = str(tiny_folder / "stores")
    alone = [sys.executable, str(script), json.dumps([fields, str(tmp_path / "alone"), stores])]
    subprocess.run(alone, check=True, capture_output=True, timeout=300)
    given = json.dumps([fields, str(tmp_path / "together"), stores])
    started = []
    for rank, (name, link) in enumerate(zip(*nodes, strict=True)):
        launcher = ["-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
        meeting = ["--master-addr", FIRST, "--master-port", str(PORT)]
        command = ["ip", "netns", "exec", name, sys.executable, *launcher, *meeting, str(script), given]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": link}
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
    for process in started:
        told = process.communicate(timeout=300)[1]
        assert process.returncode == 0, told[-3000:]
    expected = [line["loss"] for line in lines_of(tmp_path / "alone")]
    assert len(expected) == 12
    assert [line["loss"] for line in lines_of(tmp_path / "together")] == pytest.approx(expected, rel=1e-12, abs=0)
