"""Several processes of one run: one reads the node, all are recorded, shares add up. No launcher's variable is set."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tonne.measure.accounting import account_of, share_of
from tonne.measure.attribution import topmost
from tonne.measure.family import Lock, are_related
from tonne.measure.recover import known_runs
from tonne.measure.replay import measured

sys.path.insert(0, str(Path(__file__).parent))
from metered import WATTS, finished, joules, program

RANK = """
import sys, time, tonne
from metered import Constant, opening
lasts_s = float(sys.argv[1])
folder = sys.argv[2] if len(sys.argv) > 2 else None
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
with tonne.track("ranks", interval_s=0.05, folder=folder, open_sensors=opening()) as meter:
    time.sleep(lasts_s)
print(meter.run_id, meter.folder)
"""


def ranks(count: int, lasts_s: float, folder: str | None = None) -> set[str]:
    processes = [program(RANK, str(lasts_s), *([folder] if folder else [])) for _ in range(count)]
    return {finished(process).strip() for process in processes}


def readers(folder: Path) -> int:
    """Files with readings in them."""
    return sum('"v":' in path.read_text() for path in folder.glob("journal*.jsonl"))


@pytest.mark.slow
def test_ranks_of_one_launcher_are_one_run_and_the_node_is_counted_once():
    (found,) = ranks(4, 0.5)
    run, folder = found.split()
    whole = measured(folder)
    (node,) = whole.nodes
    account = account_of(whole)
    assert whole.run == run
    assert len(node.members) == 4
    assert len({member.identity[0] for member in node.members}) == 4
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
    assert [one.id for one in known_runs()] == [run]
    assert whole.status == "finished"


def test_ranks_with_one_folder_share_it(tmp_path):
    (found,) = ranks(3, 0.4, str(tmp_path / "run"))
    folder = Path(found.split()[1])
    assert folder == tmp_path / "run"
    assert len(list(folder.glob("journal*.jsonl"))) == 3


def test_shares_of_ranks_add_up_to_the_node():
    (found,) = ranks(3, 0.4)
    whole = measured(found.split()[1])
    (node,) = whole.nodes
    account = account_of(whole)
    shares = [share_of(whole, stamp=member.stamp) for member in node.members]
    for name in ("cpu_kwh", "memory_kwh", "host_rest_kwh", "servers_kwh", "facility_kwh", "measured_kwh"):
        parts = sum(getattr(share.energy, name).value for share in shares)
        assert parts == pytest.approx(getattr(account.energy, name).value, rel=1e-6), name


@pytest.mark.slow
def test_when_the_reader_leaves_another_rank_reads_on_and_nothing_is_lost(tmp_path):
    folder = str(tmp_path / "run")
    first = program(RANK, "0.4", folder)
    second = program(RANK, "1.2", folder)
    finished(first)
    finished(second)
    account = account_of(measured(folder))
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
    assert readers(Path(folder)) == 2 or account.duration_s.value < 1.3


def test_a_rank_that_comes_when_the_others_have_left_is_still_of_their_run():
    late = program(RANK.replace("time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)", "input()"), "0.05")
    finished(program(RANK, "0.05"))
    late.stdin.write("\n")
    finished(late)
    assert len(known_runs()) == 1


def test_programs_one_after_the_other_are_different_runs():
    for _ in range(2):
        finished(program(RANK, "0.05"))
    assert len(known_runs()) == 2


SPAWN = """
import multiprocessing, sys, time, tonne
from metered import opening

def work(seconds):
    with tonne.track("main", interval_s=0.05, open_sensors=opening()) as meter:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with tonne.track("main", interval_s=0.05, open_sensors=opening()) as meter:
        children = [context.Process(target=work, args=(0.2,)) for _ in range(2)]
        [child.start() for child in children]
        [child.join() for child in children]
        assert all(child.exitcode == 0 for child in children), [child.exitcode for child in children]
    print(meter.folder)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_join_the_run_of_their_parent(method, tmp_path):
    script = tmp_path / "main.py"
    script.write_text(SPAWN)
    folder = finished(program(None, str(script), method)).strip()
    whole = measured(folder)
    (node,) = whole.nodes
    account = account_of(whole)
    assert len(node.members) == 3
    assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
    (top,) = topmost(node.members)
    # both children's 0.2 s, and not one's alone; the kernel counts in ticks of 10 ms, which short processes lose
    assert top.cpu_s >= 0.3


def entry(pid: int, parents: list[int], session: int = 1, namespace: str = "pid:[1]") -> dict:
    return {
        "pid": pid,
        "started": pid,
        "parents": [[p, p] for p in parents],
        "session": session,
        "namespace": namespace,
    }


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        (entry(10, [2, 1]), entry(11, [2, 1]), True),  # siblings, as torchrun starts them
        (entry(10, [2]), entry(20, [10, 2]), True),  # parent and child
        (entry(10, [2]), entry(20, [15, 10, 2]), True),  # grandparent
        (entry(10, [8, 2], 5), entry(11, [9, 2], 5), True),  # each in a shell script of its own, one session
        (entry(10, [8, 2], 5), entry(11, [9, 2], 6), False),  # two terminals
        (entry(10, [2]), entry(11, [3]), False),
        (entry(10, [2]), entry(11, [2], namespace="pid:[2]"), False),  # numbers of another container mean nothing
    ],
)
def test_who_is_of_one_launch(one, other, related):
    assert are_related(one, other) is related
    assert are_related(other, one) is related


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    path = str(tmp_path / "lock")
    code = "import sys; from tonne.measure.family import Lock; print(Lock(sys.argv[1]).take(), flush=True)"
    lock = Lock(path)
    assert lock.take()
    assert finished(program(code, path)).strip() == "False"
    lock.give()
    assert finished(program(code, path)).strip() == "True"
    assert lock.take()
    lock.give()


def test_ranks_of_a_slurm_step_find_one_id_on_all_nodes():
    code = RANK.replace("print(meter.run_id, meter.folder)", "print(meter.run_id)")
    variables = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}
    ids = {finished(program(code, "0.01", **variables)).strip() for _ in range(2)}
    other = finished(program(code, "0.01", **{**variables, "SLURM_STEP_ID": "1"})).strip()
    assert len(ids) == 1
    assert other not in ids


def two_nodes(folder: Path) -> None:
    """A run of two nodes, as their processes would have written it: 100 W and 300 W for ten seconds."""
    for name, node, watts in (("journal.jsonl", "a", 100.0), ("journal-b.jsonl", "b", 300.0)):
        header = {"kind": "run", "schema": 1, "run": "r", "name": "r", "role": "rank", "site": None, "interval_s": 1.0}
        header |= {"t": 0, "unix_s": 1e9, "node": node, "stamp": node, "cpus": 4, "cpus_allowed": 4, "devices": None}
        header |= {"process": {"pid": 1, "started": 1, "parents": [], "session": 1, "namespace": node}}
        sensor = {"name": "own:plug", "part": "node", "kind": "counter", "unit": "J", "covers": ["node"]}
        lines = [header, {"kind": "start", "t": 0}]
        lines.append({"kind": "sensors", "t": 0, "sensors": [sensor], "missing": [], "facts": {"memory_bytes": 2**34}})
        lines += [
            {"t": s * 10**9, "p": [float(s), 1], "v": [watts * s], "o": [0], "c": [2.0 * s, 4.0 * s]} for s in range(11)
        ]
        lines.append({"kind": "leave", "t": 10 * 10**9, "unix_s": 1e9 + 10, "status": "finished"})
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_nodes_of_one_folder_are_added_up(tmp_path):
    two_nodes(tmp_path)
    whole = measured(str(tmp_path))
    account = account_of(whole)
    assert len(whole.nodes) == 2
    assert account.duration_s.value == pytest.approx(10.0)
    assert joules(account.energy.it_kwh) == pytest.approx(4000.0)  # 10 s of 100 W and of 300 W
    assert whole.status == "finished"


def test_the_job_and_the_others_add_up_to_the_node(tmp_path):
    two_nodes(tmp_path)
    whole = measured(str(tmp_path))
    node, job, others = (account_of(whole, view=view).energy for view in ("node", "job", "others"))
    for name in ("cpu_kwh", "memory_kwh", "host_rest_kwh", "servers_kwh", "facility_kwh"):
        both = getattr(job, name).value + getattr(others, name).value
        assert both == pytest.approx(getattr(node, name).value, rel=1e-9), name
    assert job.cpu_kwh.value == pytest.approx(node.cpu_kwh.value / 2)  # 10 of the node's 20 s of CPU time


@pytest.mark.slow
def test_eight_ranks_in_one_folder_are_all_recorded_every_time(tmp_path):
    folder = tmp_path / "runs"
    found = set()
    for _ in range(10):
        (told,) = ranks(8, 0.2, str(folder))
        run, where = told.split()
        whole = measured(where)
        (node,) = whole.nodes
        account = account_of(whole)
        assert len(node.members) == 8
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
        found.add(run)
    assert len(found) == 10
