"""Control groups: which are a job's, what they may use and what they used; both versions, in folders of our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tonne.measure.groups import group_of

POD = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + "a" * 64 + ".scope"
DOCKER = "/docker/" + "b" * 64


@pytest.fixture
def kernel(tmp_path):
    """Writes /proc/self/cgroup and the files of a group; gives what is found."""

    def found(lines: str, files: dict[str, str]):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(lines)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return group_of(None, str(tmp_path / "proc"), str(tmp_path / "cgroup"))

    return found


def test_a_slurm_step_is_a_job(kernel):
    step = "/system.slice/slurmstepd.scope/job_77/step_0"
    files = {
        f"{step}/cpu.stat": "usage_usec 12500000\nuser_usec 12000000\nsystem_usec 500000\n",
        f"{step}/cpu.max": "max 100000\n",
        f"{step}/memory.max": "34359738368\n",
    }
    group = kernel(f"0::{step}/user/task_3\n", files)
    assert group.is_job
    assert (group.cpu_s(), group.cpus(), group.memory_bytes()) == (12.5, None, 32 * 2**30)


def test_a_pod_of_version_2(kernel):
    files = {f"{POD}/cpu.stat": "usage_usec 1\n", f"{POD}/cpu.max": "400000 100000\n", f"{POD}/memory.max": "max\n"}
    group = kernel(f"0::{POD}\n", files)
    assert group.is_job
    assert (group.cpu_s(), group.cpus(), group.memory_bytes()) == (1e-6, 4.0, None)


def test_a_container_of_version_1_has_limits_and_is_no_job(kernel):
    # inside the container its own folder is shown at the root
    files = {
        "cpuacct/cpuacct.usage": "2500000000\n",
        "cpuacct/cpu.cfs_quota_us": "150000\n",
        "cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    group = kernel(f"5:memory:{DOCKER}\n4:cpu,cpuacct:{DOCKER}\n0::/\n", files)
    assert not group.is_job
    assert (group.cpu_s(), group.cpus(), group.memory_bytes()) == (2.5, 1.5, None)


@pytest.mark.parametrize("path", ["/user.slice/user-1000.slice/session-3.scope", "/", "/system.slice/cron.service"])
def test_what_is_not_a_jobs_own_is_none(kernel, path):
    assert kernel(f"0::{path}\n", {"cpu.stat": "usage_usec 5\n"}) is None


@pytest.mark.parametrize("is_pod", [False, True])
def test_the_root_of_a_container_that_hides_its_path(kernel, monkeypatch, is_pod):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1") if is_pod else monkeypatch.delenv(
        "KUBERNETES_SERVICE_HOST", raising=False
    )
    group = kernel("0::/\n", {"cgroup.type": "domain\n", "cpu.stat": "usage_usec 5000000\n"})
    assert group.is_job is is_pod
    assert group.cpu_s() == 5.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's files")
def test_without_groups_there_is_none(tmp_path):
    assert group_of(None, str(tmp_path), str(Path(tmp_path) / "none")) is None
