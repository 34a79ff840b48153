"""Several processes of one run: one reads the node, all are recorded, shares add up. No launcher's variable is set."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tonne.measure import environment, family, processes
from tonne.measure.accounting import account_of, share_of
from tonne.measure.attribution import topmost
from tonne.measure.family import Lock, Register, are_related
from tonne.measure.recover import known_runs
from tonne.measure.replay import measured

sys.path.insert(0, str(Path(__file__).parent))
from metered import HERE, SOURCE, WATTS, finished, joules, program, wait_for

pytestmark = pytest.mark.slow  # many processes at once

RANK = """
import sys, time, tonne
from metered import Constant, opening
lasts_s = float(sys.argv[1])
folder = (sys.argv[2] if len(sys.argv) > 2 else None) or None
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
with tonne.track("ranks", interval_s=0.05, folder=folder, open_sensors=opening()) as meter:
    time.sleep(lasts_s)
sys.stdout.write(f"{meter.run_id} {meter.folder}\\n")  # at once: print() may write word by word, between others' words
"""


def ranks(count: int, lasts_s: float, folder: str | None = None) -> set[str]:
    processes = [program(RANK, str(lasts_s), *([folder] if folder else [])) for _ in range(count)]
    return {finished(process).strip() for process in processes}


def readers(folder: Path) -> int:
    """Files with readings in them."""
    return sum('"v":' in path.read_text() for path in folder.glob("journal*.jsonl"))


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
from metered import Constant, opening, wait_for_readings

def work(seconds):
    with tonne.track("main", interval_s=0.05, open_sensors=opening()) as meter:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

if __name__ == "__main__":
    context, sensor = multiprocessing.get_context(sys.argv[1]), Constant()
    with tonne.track("main", interval_s=0.05, open_sensors=opening(sensor)) as meter:
        wait_for_readings(sensor)
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


@pytest.mark.parametrize(
    ("one", "other", "runner", "related"),
    [
        (entry(10, [2, 1]), entry(11, [2, 1]), "xargs", False),
        (entry(10, [8, 2], 5), entry(11, [9, 2], 5), "make", False),  # each through a shell
        (entry(10, [2, 1]), entry(11, [2, 1]), "sh", True),  # a shell may start ranks by hand
        (entry(10, [8, 2]), entry(11, [8, 2]), "make", True),  # ranks of 8, which make started
        (entry(10, [2]), entry(20, [10, 2]), "xargs", True),  # a job and its own child
        (entry(10, [2]) | {"launcher": "a"}, entry(11, [2]) | {"launcher": "a"}, "xargs", True),
        (entry(10, [8, 2], 5) | {"launcher": "a"}, entry(11, [9, 2], 5) | {"launcher": "b"}, "xargs", False),
        (entry(10, [2]) | {"launcher": None}, entry(11, [2]) | {"launcher": None}, "parallel", False),
    ],
)
def test_jobs_that_are_started_side_by_side_are_no_ranks(one, other, runner, related, monkeypatch):
    monkeypatch.setattr(family.processes, "name_of", lambda pid: {2: runner}.get(pid, "python"))
    assert are_related(one, other) is related
    assert are_related(other, one) is related


def side_by_side(tmp_path, command: list[str], **variables: str) -> tuple[list[str], str]:
    """The runs that three processes of one name were in, and what they warned of; `{}` in the command is a number."""
    script = tmp_path / "job.py"
    script.write_text(RANK)
    words = [word.replace("PROGRAM", f"{sys.executable} {script}") for word in command]
    variables = {**os.environ, "PYTHONPATH": f"{SOURCE}:{HERE}", **variables}
    done = subprocess.run(words, env=variables, input="0\n0.1\n0.2\n", capture_output=True, text=True, timeout=120,
                          check=True, cwd=tmp_path)  # fmt: skip
    return sorted(line.split()[0] for line in done.stdout.splitlines()), done.stderr


XARGS = ["xargs", "-P3", "-I{}"]
BY_HAND = "for i in 0 0.1 0.2; do {} & done; wait"


@pytest.mark.skipif(shutil.which("xargs") is None or sys.platform != "linux", reason="needs xargs, and /proc")
@pytest.mark.parametrize("shell", [False, True])
def test_jobs_of_xargs_are_a_run_each(tmp_path, shell):
    job = ["sh", "-c", "PROGRAM 2 '' {}; true"] if shell else ["env", sys.executable, "job.py", "2", "", "{}"]
    found, warned = side_by_side(tmp_path, [*XARGS, *job])
    assert len(set(found)) == 3
    assert warned == ""


@pytest.mark.skipif(shutil.which("make") is None or sys.platform != "linux", reason="needs make, and /proc")
def test_jobs_of_make_are_a_run_each(tmp_path):
    (tmp_path / "Makefile").write_text(f"all: 0 1 2\n0 1 2:\n\t@{sys.executable} job.py 2 '' $@\n.PHONY: 0 1 2\n")
    found, _ = side_by_side(tmp_path, ["make", "--no-print-directory", "-j3"])
    assert len(set(found)) == 3


@pytest.mark.skipif(shutil.which("xargs") is None, reason="needs xargs")
def test_ranks_that_xargs_started_are_one_run_where_variables_say_so(tmp_path):
    job = ["sh", "-c", "RANK={} PROGRAM 2 '' {}"]
    found, _ = side_by_side(tmp_path, [*XARGS, *job], WORLD_SIZE="3", MASTER_PORT="29500")
    assert (len(found), len(set(found))) == (3, 1)


@pytest.mark.parametrize(
    ("job", "warns"),
    [
        ("PROGRAM 2 '' $i", True),  # other arguments, and no rank: a job of its own?
        ("PROGRAM 2", False),
        ("RANK=$i PROGRAM 2 '' $i", False),
    ],
)
def test_what_a_shell_starts_side_by_side_is_one_run_and_said_to_be_where_it_may_not_be(tmp_path, job, warns):
    found, warned = side_by_side(tmp_path, ["sh", "-c", BY_HAND.replace("{}", job)])
    assert (len(found), len(set(found))) == (3, 1)
    assert warned.count(f"taken for a rank of the run {found[0]}") == (2 if warns else 0)


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


HOLDER = """
import sys, time
from tonne.measure.family import Lock
lock = Lock(sys.argv[1])
print(lock.take(), flush=True)
time.sleep(float(sys.argv[2]))
lock.give()
input()
"""


def test_who_holds_the_register_is_waited_for_however_slow_it_is():
    """One that the machine left no time for a second must not split a run in two."""
    register = Register()
    holder = program(HOLDER, register._lock.path, "1.5")
    assert holder.stdout.readline().strip() == "True"
    assert register.enter("one", None, ("one-1", "folder")) == ("one-1", "folder")
    holder.stdin.write("\n")
    finished(holder)
    assert [entry["run"] for entry in register._entries()] == ["one-1"]


@pytest.mark.skipif(sys.platform != "linux", reason="who holds a lock is told by Linux")
def test_who_was_stopped_while_it_held_the_register_is_not_waited_for():
    register = Register()
    holder = program(HOLDER, register._lock.path, "60")
    assert holder.stdout.readline().strip() == "True"
    os.kill(holder.pid, signal.SIGSTOP)
    wait_for(lambda: processes.is_stopped(holder.pid))
    assert register._lock.has_stopped_holder()
    assert register.enter("one", None, ("one-1", "folder")) == ("one-1", "folder")
    assert register._entries() == []  # the run goes on without an entry
    os.kill(holder.pid, signal.SIGCONT)
    wait_for(lambda: not processes.is_stopped(holder.pid))
    assert not register._lock.has_stopped_holder()
    holder.kill()
    holder.communicate()


def test_ranks_of_a_slurm_step_find_one_id_on_all_nodes(tmp_path):
    code = RANK.replace(" {meter.folder}", "")
    variables = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}
    nodes = [{**variables, "TONNE_RUNTIME": str(tmp_path / name)} for name in "ab"]
    ids = {finished(program(code, "0.01", **node)).strip() for node in nodes}
    other = finished(program(code, "0.01", **{**nodes[0], "SLURM_STEP_ID": "1"})).strip()
    assert len(ids) == 1
    assert other not in ids


def test_programs_one_after_the_other_in_a_slurm_step_have_a_run_each_the_same_on_all_nodes(tmp_path):
    code = RANK.replace(" {meter.folder}", "")
    variables = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}
    nodes = [{**variables, "TONNE_RUNTIME": str(tmp_path / name)} for name in "ab"]
    ids = [[finished(program(code, "0.01", **node)).strip() for _ in range(3)] for node in nodes]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_a_late_rank_of_a_slurm_step_is_of_the_run_that_went_on_when_it_began():
    variables = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}
    late = program(
        RANK.replace("time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)", "input()"), "0.05", **variables
    )
    finished(program(RANK, "0.05", **variables))
    late.stdin.write("\n")
    finished(late)
    assert len(known_runs()) == 1


UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
LAUNCHER = """
import subprocess, sys
ranks = [subprocess.Popen([sys.executable, "-c", sys.argv[1], "0.3"], start_new_session=i > 1) for i in range(4)]
sys.exit(max(rank.wait() for rank in ranks))
"""


def in_a_container(*command: str) -> None:
    """Run a command as the first process of a container's numbers."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs unshare, and the kernel's leave to use it")
    done = program(None, "-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *UNSHARE, *command)
    finished(done)


def test_ranks_whose_launcher_is_the_first_process_of_a_container_are_one_run():
    in_a_container(sys.executable, "-c", LAUNCHER, RANK)
    (run,) = known_runs()
    assert len(list(Path(run.folder).glob("journal*.jsonl"))) == 4


ORPHANS = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() > 1:
                time.sleep(0.01)
            os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], "1"])
        os._exit(0)  # as a shell that was left
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""


def test_programs_that_a_container_took_in_are_no_ranks_of_one_run():
    in_a_container(sys.executable, "-c", ORPHANS, RANK)
    assert len(known_runs()) == 2


def test_a_stretch_that_was_over_before_it_was_read_does_not_hide_the_others(tmp_path):
    two_nodes(tmp_path)
    (tmp_path / "journal-b.jsonl").unlink()
    header = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])
    header |= {"stamp": "c", "process": {**header["process"], "pid": 2}}
    ended = {"kind": "leave", "t": 22 * 10**9, "unix_s": 1e9 + 22, "status": "finished"}
    rows = [header, {"kind": "start", "t": 20 * 10**9}, ended]
    (tmp_path / "journal-c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (node,) = measured(str(tmp_path)).nodes
    (use,) = node.sensors
    # 10 s of 100 W that were read, and 2 s of which only the power of the others is known
    assert use.total.energy_j == pytest.approx(1200.0)
    assert (use.total.low_j, use.total.high_j) == (pytest.approx(1100.0), pytest.approx(1400.0))
    assert (use.total.measured_s, use.total.gap_s) == (pytest.approx(10.0), pytest.approx(2.0))


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


def test_eight_ranks_in_one_folder_are_all_recorded_every_time(tmp_path):
    folder = tmp_path / "runs"
    found = set()
    for _ in range(10):
        (told,) = ranks(8, 0.6, str(folder))  # on a busy machine a thread is late by a tenth of a second
        run, where = told.split()
        whole = measured(where)
        (node,) = whole.nodes
        account = account_of(whole)
        assert len(node.members) == 8
        assert joules(account.energy.cpu_kwh) == pytest.approx(WATTS * account.duration_s.value, rel=0.01)
        found.add(run)
    assert len(found) == 10


def test_a_run_is_in_the_register_as_long_as_it_goes_on_for_its_own_home_alone(monkeypatch, tmp_path):
    home = environment.home()
    Register().enter("long", None, ("r1", "folder-of-r1"))
    monkeypatch.setattr(family, "KEPT_S", 0.0)  # it began longer ago than a run that ended is remembered
    assert Register().running(home) == {"r1": "folder-of-r1"}
    assert Register().running(str(tmp_path / "another")) == {}
    Register().leave("r1")
    assert Register().running(home) == {}
