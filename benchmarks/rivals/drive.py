# ruff: noqa: PTH110, PTH118, PTH123
"""One tool at work, in its own environment: `python drive.py TOOL WHAT '{"seconds": 5, ...}'`, which prints JSON.

Runs under the Python of each tool, so that it imports nothing but that tool, and only once it is asked to.
"""

import json
import os
import sys
import time


class Tonne:
    def __init__(self, interval_s, folder):
        from tonne import track

        self.meter = track("bench", interval_s=interval_s)

    def start(self):
        self.meter.start()

    def stop(self):
        self.meter.stop()

    def kwh(self):
        account = self.meter.account()
        self.notes = list(account.notes)
        return account.energy.measured_kwh.value if account.energy.coverage else 0.0

    def recorded_kwh(self):
        """What an account says of the parts that sensors read, gaps filled."""
        account = self.meter.account()
        modelled = any(note.startswith("memory:") for note in account.notes)
        parts = [account.energy.cpu_kwh, *([] if modelled else [account.energy.memory_kwh])]
        return sum(part.value for part in parts if part is not None)


class CodeCarbon:
    def __init__(self, interval_s, folder):
        from codecarbon import OfflineEmissionsTracker

        self.tracker = OfflineEmissionsTracker(
            country_iso_code="FRA", measure_power_secs=interval_s, output_dir=folder, log_level="critical"
        )

    def start(self):
        self.tracker.start()

    def stop(self):
        self.tracker.stop()

    def kwh(self):
        return self.tracker.final_emissions_data.cpu_energy  # its memory is a model


class CarbonTracker:
    def __init__(self, interval_s, folder):
        from carbontracker.tracker import CarbonTracker as Tracker

        self.tracker = Tracker(
            epochs=100, epochs_before_pred=0, update_interval=interval_s, components="cpu", log_dir=folder, verbose=0
        )

    def start(self):
        self.tracker.epoch_start()

    def stop(self):
        self.tracker.epoch_end()

    def kwh(self):
        from carbontracker import constants

        return float(self.tracker.tracker.total_energy_per_epoch().sum()) / constants.PUE_2023


class Zeus:
    def __init__(self, interval_s, folder):
        from zeus.monitor import ZeusMonitor

        self.monitor = ZeusMonitor(gpu_indices=[], log_file=os.path.join(folder, "zeus.csv"))

    def start(self):
        self.monitor.begin_window("bench", sync_execution=False)

    def stop(self):
        self.found = self.monitor.end_window("bench", sync_execution=False)

    def kwh(self):
        parts = [self.found.cpu_energy or {}, self.found.dram_energy or {}]
        return sum(sum(part.values()) for part in parts) / 3.6e6


class PyJoules:
    def __init__(self, interval_s, folder):
        from pyJoules.device.device_factory import DeviceFactory
        from pyJoules.energy_meter import EnergyMeter

        self.meter = EnergyMeter(DeviceFactory.create_devices())

    def start(self):
        self.meter.start()

    def stop(self):
        self.meter.stop()

    def kwh(self):
        sample = next(iter(self.meter.get_trace()))
        return sum(uj for name, uj in sample.energy.items() if not name.startswith("core")) / 3.6e12


class Eco2AI:
    def __init__(self, interval_s, folder):
        from eco2ai import Tracker

        self.tracker = Tracker(
            project_name="bench",
            experiment_description="bench",
            file_name=os.path.join(folder, "emission.csv"),
            measure_period=interval_s,
            alpha_2_code="FR",
            ignore_warnings=True,
        )

    def start(self):
        self.tracker.start()

    def stop(self):
        self.file = self.tracker.file_name
        self.tracker.stop()

    def kwh(self):
        import csv

        with open(self.file, newline="") as file:
            return float(list(csv.DictReader(file))[-1]["power_consumption(kWh)"])


TOOLS = {
    "tonne": Tonne,
    "codecarbon": CodeCarbon,
    "carbontracker": CarbonTracker,
    "zeus": Zeus,
    "pyjoules": PyJoules,
    "eco2ai": Eco2AI,
}
MODULES = {"carbontracker": "carbontracker.tracker", "zeus": "zeus.monitor", "pyjoules": "pyJoules.energy_meter"}


def measure(tool, seconds, interval_s=1.0, folder=".", begin_at=None):
    """Energy over a time, with the times at which start() had returned and stop() was called."""
    one = TOOLS[tool](interval_s, folder)
    if begin_at is not None:
        time.sleep(max(begin_at - time.monotonic(), 0.0))
    one.start()
    begin = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    one.stop()
    kwh = one.kwh()
    whole = one.recorded_kwh() if isinstance(one, Tonne) else kwh
    return {"begin": begin, "end": end, "kwh": whole, "read_kwh": kwh, "notes": getattr(one, "notes", [])}


def latency(tool, interval_s=1.0, folder="."):
    """First create and start, first stop, and the same again [s]."""
    found = {}
    begin = time.perf_counter()
    if tool in MODULES:
        __import__(MODULES[tool])
    else:
        __import__(tool)
    found["import_s"] = time.perf_counter() - begin
    for which in ("first", "later"):
        begin = time.perf_counter()
        one = TOOLS[tool](interval_s, folder)
        one.start()
        found[f"{which}_start_s"] = time.perf_counter() - begin
        time.sleep(0.3)
        begin = time.perf_counter()
        one.stop()
        found[f"{which}_stop_s"] = time.perf_counter() - begin
    return found


def calls(tool, count=200, folder="."):
    """Time that tracking adds to a call of 1 ms [s], each call a tracker of its own, or the tool's decorator."""

    def work():
        end = time.perf_counter() + 1e-3
        while time.perf_counter() < end:
            pass

    if tool == "tonne":
        import tonne

        tracked = tonne.track(work)
    else:

        def tracked():
            one = TOOLS[tool](1.0, folder)
            one.start()
            work()
            one.stop()

    tracked()
    times = {}
    for name, function in (("bare", work), ("tracked", tracked)):
        taken = []
        for _ in range(count):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
        times[name] = sorted(taken)[len(taken) // 2]
    return {"added_s": times["tracked"] - times["bare"]}


def idle(tool, seconds, interval_s=1.0, folder="."):
    """CPU time of the process, and of children that ended, while it waits [s]; samples; memory that it added."""

    import resource

    def cpu_s():
        found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in found)

    def rss_bytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = rss_bytes()
    one = TOOLS[tool](interval_s, folder)
    one.start()
    time.sleep(2 * interval_s)
    begin = cpu_s()
    time.sleep(seconds)
    taken = cpu_s() - begin
    added = rss_bytes() - before
    one.stop()
    return {"cpu_s": taken, "samples": seconds / interval_s, "rss_added_bytes": added}


def sockets(tool, folder="."):
    """Sockets of the internet that were opened, names that were asked for, and the time of start and stop [s]."""
    opened = []

    def watch(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
            if not isinstance(address, (str, bytes)) or event == "socket.getaddrinfo":
                opened.append(f"{event} {address}")

    sys.addaudithook(watch)
    begin = time.perf_counter()
    if tool == "codecarbon":  # as its users begin: the class that looks for the place
        from codecarbon import EmissionsTracker

        one = EmissionsTracker(output_dir=folder, log_level="critical")
    else:
        one = TOOLS[tool](1.0, folder)
    ready = time.perf_counter()
    one.start()
    started = time.perf_counter()
    time.sleep(1.0)
    stopping = time.perf_counter()
    one.stop()
    end = time.perf_counter()
    return {
        "opened": opened,
        "create_s": ready - begin,
        "start_s": started - ready,
        "stop_s": end - stopping,
        "country": getattr(getattr(getattr(one, "tracker", one), "final_emissions_data", None), "country_name", None),
    }


def until_killed(tool, interval_s=1.0, folder=".", ending=""):
    """Track, say so, and wait to be killed; or end by an error."""
    one = TOOLS[tool](interval_s, folder)
    one.start()
    print(json.dumps({"begin": time.monotonic()}), flush=True)
    if ending:
        time.sleep(float(ending))
        raise FloatingPointError("loss is not finite")
    time.sleep(600)


def forks(tool, count, folder=".", patience_s=20.0):
    """Children that are forked after start and stop the tracker too; how many hang."""
    one = TOOLS[tool](0.05, folder)
    one.start()
    hung = 0
    for _ in range(count):
        child = os.fork()
        if not child:
            one.stop()
            os._exit(0)
        end = time.monotonic() + patience_s
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, 9)
                os.waitpid(child, 0)
                hung += 1
                break
            time.sleep(0.002)
        time.sleep(0.01)
    one.stop()
    return {"hung": hung}


def rank(tool, seconds, go_file, folder="."):
    """One of several ranks that begin and stop together."""
    one = TOOLS[tool](1.0, folder)
    print("ready", flush=True)
    while not os.path.exists(go_file):
        time.sleep(0.002)
    one.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    begin, end = end - seconds, time.monotonic()
    one.stop()
    if tool != "tonne":
        return {"kwh": one.kwh(), "begin": begin, "end": end}
    time.sleep(0.5)  # the account is of all ranks, once they have stopped
    account = one.meter.account()
    return {
        "run": one.meter.run_id,
        "kwh": account.energy.it_kwh.value,
        "share_kwh": one.meter.share().energy.it_kwh.value,
        "lasted_s": account.duration_s.value,
        "begin": begin,
        "end": end,
    }


if __name__ == "__main__":
    found = {
        "measure": measure,
        "latency": latency,
        "calls": calls,
        "idle": idle,
        "sockets": sockets,
        "until_killed": until_killed,
        "forks": forks,
        "rank": rank,
    }[sys.argv[2]](sys.argv[1], **json.loads(sys.argv[3]))
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # threads that a tool left behind are its own matter
