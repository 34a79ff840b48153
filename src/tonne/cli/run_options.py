"""The options of `tonne run` and `tonne attach`, read without the command-line framework."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, ArgumentTypeError, Namespace

from tonne.measure.purposes import PURPOSES

INTERVAL_S = 1.0
GRACE_S = 60.0
AUTO = "auto"
SECONDS_IN = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}


def seconds(text: str) -> float:
    """A time such as "30s", "1.5 min" or "10" [s]."""
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(digits) :].strip()
    try:
        value = float(digits) * SECONDS_IN[unit]
    except (KeyError, ValueError):
        raise ArgumentTypeError(f"{text!r} is no time. Write a number and ms, s, min or h, e.g. 30s.") from None
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} must be above zero, e.g. 30s.")
    return value


def steps(text: str) -> int | str:
    """How many steps a run takes; "auto" where its output is to say so."""
    if text == AUTO:
        return text
    if not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no number of steps. Write one above zero, or auto.")
    return int(text)


def parsed(words: list[str]) -> Namespace:
    """The options that the words of a command line mean; wrong ones end the program with status 2."""
    parser = _parser(words[0])
    options = parser.parse_args(words[1:])
    options.what = words[0]
    options.place = options.site or options.grid
    if options.what == "run":
        options.pid = None
        options.command = options.command[1:] if options.command[:1] == ["--"] else options.command
        if not options.command:
            parser.error("there is no command to run. Write it after two dashes: tonne run -- python train.py")
    else:
        options.command, options.baseline, options.resume, options.enforce = [], None, None, False
    if options.site and options.grid:
        parser.error("--site and --grid each name a place. Give one of them.")
    if options.enforce and options.max_kwh is None and options.max_kgco2e is None and options.max_cost is None:
        parser.error("--enforce has no limit to enforce. Give --max-kwh, --max-kgco2e or --max-cost.")
    options.reads_steps = (options.total_steps or options.step_pattern or options.steps_from) is not None
    options.total_steps = None if options.total_steps == AUTO else options.total_steps
    if options.what == "attach" and options.reads_steps and options.steps_from is None:
        parser.error("the output of a process that runs already cannot be read. Give --steps-from, a log file of it.")
    return options


def _parser(what: str) -> ArgumentParser:
    texts = {"run": "Run a command and measure what it takes.", "attach": "Measure a process that runs already."}
    parser = ArgumentParser(prog=f"tonne {what}", description=texts[what], allow_abbrev=False)
    add = parser.add_argument
    add("--name", help="What the run is called; left out, the command's.")
    add("--site", help="Grid zone, provider:region or a TOML file. Without one, energy alone.")
    add("--grid", help="Grid zone, e.g. FR.")
    add("--hourly", action="store_true", help="CO2e by the hours of the run, where the grid's are known.")
    add("--project", help="What the run belongs to.")
    add("--purpose", choices=PURPOSES, metavar="WHAT", help=f"What it is for: {', '.join(PURPOSES)}.")
    add("--tag", action="append", default=[], help="A word by which to find it; may be repeated.")
    add("--folder", help="Of the run's journal; left out, one of its own below TONNE_HOME.")
    add("--interval", type=seconds, default=INTERVAL_S, help="Time between readings, e.g. 1s.")
    add("--max-kwh", type=float, help="Warn beyond this energy.")
    add("--max-kgco2e", type=float, help="Warn beyond these emissions; needs a place.")
    add("--max-cost", type=float, help="Warn beyond this price of electricity [USD]; needs --usd-per-kwh.")
    add("--usd-per-kwh", type=float, help="Price of electricity.")
    add("--total-steps", type=steps, help="Steps of the whole run, to forecast its end; auto: as its output says.")
    add(
        "--step-pattern",
        help="Finds the step in a line: a regular expression, the step in a group, and in a second "
        "one the total, unless --total-steps gives it.",
    )
    add("--steps-from", help="A log file in which to look for steps; left out, the command's output.")
    add("--quiet", action="store_true", help="Say nothing but errors and warnings.")
    if what == "run":
        add("--baseline", type=seconds, help="Measure the idle machine first, e.g. 30s.")
        add("--resume", metavar="RUN", help="Go on with an earlier run.")
        add("--enforce", action="store_true", help="Stop the command at a limit; exit status 3.")
        add("--grace", type=seconds, default=GRACE_S, help="Time to end by itself before it is killed, e.g. 60s.")
        add("command", nargs=REMAINDER, metavar="-- COMMAND", help="What to run.")
    else:
        add("pid", type=int, help="Number of the process.")
    return parser
