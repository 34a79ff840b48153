"""`tonne run` as if it were not there: open files, terminals, what a command leaves, messages that nobody reads."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from tonne.cli import running
from tonne.cli.group_witness import ECHO_S, PATIENCE_S, Witness

SOURCE = str(Path(__file__).parents[3] / "src")
TONNE = [sys.executable, "-m", "tonne.cli.entry"]
ENVIRONMENT = {"PYTHONPATH": SOURCE}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux does it")


def tonne(*words: str, **options) -> subprocess.CompletedProcess[str]:
    options = {"stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [*TONNE, *words],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def until(is_so) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """As the kernel tells it: S, T ...; Z for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_open_files_reach_the_command_and_none_of_ours():
    read, write = os.pipe()
    os.write(write, b"told")
    os.close(write)
    names = "import os, sys; print(sorted(os.listdir('/proc/self/fd')), os.read(int(sys.argv[1]), 9))"
    alone = subprocess.run(
        [sys.executable, "-c", names.replace("9", "0"), str(read)], stdout=subprocess.PIPE, text=True, pass_fds=[read],
        check=True, timeout=60,
    ).stdout  # fmt: skip
    measured = tonne("run", "--quiet", "--", sys.executable, "-c", names, str(read), pass_fds=[read])
    os.close(read)
    assert measured.stdout == alone.replace("b''", "b'told'")


def test_a_script_without_a_first_line_is_the_shells(tmp_path):
    script = tmp_path / "plain"
    script.write_text("echo $1; exit 5\n")
    script.chmod(0o755)
    done = tonne("run", "--quiet", "--", str(script), "word")
    assert (done.returncode, done.stdout, done.stderr) == (5, "word\n", "")


def test_a_run_whose_journal_is_gone_keeps_the_commands_status(tmp_path):
    done = tonne("run", "--folder", str(tmp_path / "run"), "--", "sh", "-c", f"rm -r {tmp_path}/run; exit 6")
    assert done.returncode == 6
    assert done.stderr.startswith("tonne: what the run took is not known:")


def test_a_run_that_could_not_be_kept_is_told_and_leads_nowhere(tmp_path):
    (tmp_path / "file").write_text("")
    done = tonne("run", "--folder", str(tmp_path / "file" / "run"), "--", "sh", "-c", "exit 6")
    assert done.returncode == 6
    assert "the journal cannot be written" in done.stderr
    assert "of it measured" in done.stderr or "energy unknown" in done.stderr
    assert "runs show" not in done.stderr


def test_messages_that_nobody_can_read_change_nothing():
    read, write = os.pipe()
    os.close(read)
    assert tonne("run", "--", "sh", "-c", "exit 7", stderr=write).returncode == 7
    os.close(write)
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *TONNE, "run", "--", "echo", "out"],
        env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (closed.returncode, closed.stdout) == (0, "out\n")


def test_a_limit_ends_all_that_the_command_started(tmp_path):
    told = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {told}; wait; echo on"
    done = tonne("run", "--quiet", "--max-kwh", "1e-9", "--enforce", "--interval", "0.1s", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, "")
    until(lambda: state_of(int(told.read_text())) == "Z")  # it was ended; to be gone takes a moment


TELLS = """
import os, signal, sys
told = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
waited_for = {signal.SIGCONT, signal.SIGTSTP, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)  # none is lost, whenever it comes
os.write(told, f"{os.getpid()} ".encode())
while (number := signal.sigwait(waited_for)) != signal.SIGUSR1:
    os.write(told, f"{signal.Signals(number).name} ".encode())
sys.exit(5)
"""


def test_a_stop_and_a_go_on_reach_the_command(tmp_path):
    told = tmp_path / "told"
    process = subprocess.Popen(
        [*TONNE, "run", "--quiet", "--", sys.executable, "-c", TELLS, str(told)],
        env={**os.environ, **ENVIRONMENT}, start_new_session=True,
    )  # fmt: skip
    until(lambda: told.exists() and told.read_text().endswith(" "))
    child = int(told.read_text())
    until(lambda: state_of(process.pid) == "S")  # it waits for the command
    process.send_signal(signal.SIGSTOP)  # a session of its own is never stopped by SIGTSTP: the kernel refuses it
    until(lambda: state_of(process.pid) == "T")
    process.send_signal(signal.SIGCONT)
    until(lambda: told.read_text().split()[1:] == ["SIGCONT"])  # else it might come after the child's stop below
    process.send_signal(signal.SIGTSTP)
    until(lambda: told.read_text().split()[1:] == ["SIGCONT", "SIGTSTP"])
    os.kill(child, signal.SIGSTOP)
    until(lambda: state_of(child) == "T")
    process.send_signal(signal.SIGCONT)
    until(lambda: told.read_text().split()[1:] == ["SIGCONT", "SIGTSTP", "SIGCONT"])
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 5


COUNTS = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
open(sys.argv[1] + ".ready", "w").close()
while not seen:
    time.sleep(0.01)
time.sleep(0.5)
open(sys.argv[1], "w").write(str(len(seen)))
"""


def test_an_interrupt_of_the_terminal_comes_once_wherever_the_output_goes(tmp_path):
    told = tmp_path / "seen"
    command = [*TONNE, "run", "--quiet", "--", sys.executable, "-c", COUNTS, str(told)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(ENVIRONMENT)
        os.execvp("sh", ["sh", "-c", 'exec "$@" < /dev/null > /dev/null 2>&1', "sh", *command])
    until(Path(f"{told}.ready").exists)
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert told.read_text() == "1"


RECEIVES = """
import signal, sys, time
asked = {signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, asked)  # each that comes waits until it is taken, none is merged with another
open(sys.argv[1] + ".ready", "w").close()
told = open(sys.argv[1], "w", buffering=1)
last, found = None, signal.sigtimedwait(asked, 60)
while found is not None:
    last = last if last == signal.SIGHUP else found.si_signo
    print(signal.Signals(found.si_signo).name, file=told)
    found = signal.sigtimedwait(asked, 0.5 if last == signal.SIGHUP else 60)
"""
QUICKLY_S = PATIENCE_S / 2  # whoever sends to one after the other more slowly, as on a busy machine, sends two signals


def received(told: Path, send, *, wrapped=()) -> list[str]:
    """The signals that a command under `tonne run` took, of those that were sent to us, our group or both."""
    for turn in range(20):
        slowest_s, seen = _received(Path(f"{told}-{turn}"), send, wrapped)
        if slowest_s < QUICKLY_S:
            return seen
    raise AssertionError("nobody sends signals quickly here")


def _received(told: Path, send, wrapped) -> tuple[float, list[str]]:
    """The longest time that one was sent in, and those that came."""
    process = subprocess.Popen(
        [*TONNE, "run", "--quiet", "--", *wrapped, sys.executable, "-c", RECEIVES, str(told)],
        env={**os.environ, **ENVIRONMENT}, start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(Path(f"{told}.ready").exists)
    until(lambda: state_of(process.pid) == "S")  # the command may be there before who started it goes on
    slowest_s = 0.0
    for count, number in enumerate((signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR1, signal.SIGHUP), 1):
        begun_s = time.monotonic()
        send(process, number)
        slowest_s = max(slowest_s, time.monotonic() - begun_s)
        until(lambda count=count: told.exists() and len(told.read_text().split()) >= count)
        time.sleep(2 * ECHO_S)
    assert process.wait(timeout=60) == 0
    return slowest_s, told.read_text().split()


ONCE_EACH = ["SIGTERM", "SIGUSR1", "SIGUSR1", "SIGHUP"]


def test_a_signal_to_the_whole_group_comes_once(tmp_path):
    assert received(tmp_path / "seen", lambda process, number: os.killpg(process.pid, number)) == ONCE_EACH


def test_a_signal_to_us_alone_is_passed_on(tmp_path):
    assert received(tmp_path / "seen", lambda process, number: process.send_signal(number)) == ONCE_EACH


def test_a_signal_to_each_process_of_a_control_group_comes_once(tmp_path):
    """As systemd and Slurm send it: to one after the other, us first."""

    def send(process, number):
        below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, below)):
            with suppress(ProcessLookupError):  # what stood beside us for the signal before, and was let go meanwhile
                os.kill(pid, number)
            time.sleep(0.002)

    assert received(tmp_path / "seen", send) == ONCE_EACH


def test_signals_that_come_while_one_is_passed_on_wait_for_it(monkeypatch):
    """A handler that is entered twice would let go twice of who stands beside us, and end us with an error."""
    came, passed = [], []
    child = running.Child(Namespace(), {}, None)
    child._process = SimpleNamespace(poll=lambda: None, pid=os.getpid(), send_signal=passed.append)

    class Slow:
        def saw(self, number, came_s):
            came.append(came_s)
            if len(came) == 1:
                child._forward(signal.SIGUSR1, None)  # as the interpreter calls it, in the midst of this
                child._forward(signal.SIGUSR2, None)
                assert passed == []
            assert len(passed) == len(came) - 1  # those before are through
            return False

    child._witness = Slow()
    monkeypatch.setattr(running, "_is_foreground", lambda: False)
    child._forward(signal.SIGTERM, None)
    assert passed == [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
    assert came == sorted(came)
    child._forward(signal.SIGTERM, None)
    assert passed[3:] == [signal.SIGTERM]


def test_a_signal_that_comes_while_the_command_starts_reaches_it_once(monkeypatch):
    """Sent to the group just then, the command has it already; before there is a command, it waits for that."""
    child = running.Child(Namespace(), {}, None)
    child._witness = SimpleNamespace(saw=lambda number, came_s: True)
    monkeypatch.setattr(running, "_is_foreground", lambda: False)
    waiting, sent = [], []
    started = subprocess.Popen._execute_child

    def starts(process, *given):
        child._forward(signal.SIGUSR1, None)
        waiting.append(list(child._waiting))
        started(process, *given)
        child._forward(signal.SIGUSR2, None)
        waiting.append(list(child._waiting))

    monkeypatch.setattr(subprocess.Popen, "_execute_child", starts)
    monkeypatch.setattr(subprocess.Popen, "send_signal", lambda process, number: sent.append(number))
    process = running.Command(child._tell, ["true"], dict(os.environ), None, ())
    assert process.wait(60) == 0
    assert waiting == [[signal.SIGUSR1]] * 2
    assert sent == []


def test_a_signal_that_came_with_one_that_was_told_of_is_the_same_however_late_it_is_looked_at():
    number = signal.SIGUSR1
    witness = Witness([number])
    try:
        came_s = time.monotonic()
        for one in witness._beside:
            os.kill(one.pid, number)
        assert witness.saw(number, came_s)
        time.sleep(1.1 * ECHO_S)
        assert witness.saw(number, came_s)  # its echo, that had to wait
        assert not witness.saw(number, time.monotonic())
    finally:
        witness.end()


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid")
def test_a_signal_to_the_group_is_passed_on_to_a_command_that_left_it(tmp_path):
    send = lambda process, number: os.killpg(process.pid, number)  # noqa: E731
    assert received(tmp_path / "seen", send, wrapped=["setsid"]) == ONCE_EACH


def test_a_signal_to_us_and_then_to_our_group_comes_once(tmp_path):
    """As `timeout` sends it."""

    def send(process, number):
        process.send_signal(number)
        os.killpg(process.pid, number)

    assert received(tmp_path / "seen", send) == ONCE_EACH


def test_nothing_is_left_beside_us_when_the_command_has_ended(tmp_path):
    folder = tmp_path / "pids"
    below = f"cat /proc/$PPID/task/$PPID/children > {folder}"
    assert tonne("run", "--quiet", "--", "sh", "-c", below).returncode == 0
    pids = [int(pid) for pid in folder.read_text().split()]
    assert len(pids) >= 2  # the shell, and what stands beside us
    assert {state_of(pid) for pid in pids} == {"Z"}


@pytest.mark.skipif(shutil.which("sleep") is None, reason="needs sleep")
def test_attaching_that_is_broken_off_is_a_run_that_was_stopped():
    other = subprocess.Popen(["sleep", "300"])
    process = subprocess.Popen(
        [*TONNE, "attach", "--quiet", "--name", "other", str(other.pid)], env={**os.environ, **ENVIRONMENT}
    )
    folder = Path(os.environ["TONNE_HOME"]) / "runs"
    until(lambda: any('"start"' in path.read_text() for path in folder.glob("*/journal.jsonl")))
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    until(lambda: state_of(other.pid) == "S")
    other.kill()
    other.wait()
    (run,) = json.loads(tonne("runs", "--json").stdout)["runs"]
    assert run["status"] == "stopped"
