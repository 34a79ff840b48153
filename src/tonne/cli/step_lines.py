"""Steps in what a program prints: by the user's pattern, or as bars and logs of common trainers say them."""

from __future__ import annotations

import re

from tonne.errors import DescriptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Found = tuple[int, int | None]  # the step, and how many there are where the line says so

LONGEST_LINE = 65_536
ENDS = re.compile(rb"[\r\n\x08]+")  # bars go back to the beginning of their line, or erase it
COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
NUMBER = rb"(\d[\d,_]*)"
PAIR = NUMBER + rb"\s*/\s*" + NUMBER

# As in `iter 100: loss`, `step: 100/2000`, `"global_step": 100` and `Step [100/600]`, but not in `12ms/step`,
# `max_steps=9` and `step 0.5 s`.
WORDS = (rb"global[_ ]?step", rb"num_updates", rb"step", rb"iteration", rb"iter")  # the ones that mean most first
AFTER = rb"[\"']?[\s:=\[(#]*" + NUMBER + rb"(?![\d.]*\d|\s*%|\s?m?s\b)(?:\s*/\s*" + NUMBER + rb")?"
WORD = [re.compile(rb"(?<![\w/.-])(?:train/)?" + word + AFTER, re.IGNORECASE) for word in WORDS]
# As in ` 5%|#    | 100/2000 [00:12<...` of tqdm, with what stands before it, and `100/2000 ---- 3s 12ms/step` of Keras.
BAR = re.compile(rb"^(.*?)\d+%\|.*\|\s*" + PAIR + rb" \[")
KERAS = re.compile(rb"^\s*" + PAIR + rb" (?:\[[=>.]+\]|\S*\xe2\x94\x81)")
EPOCH = re.compile(rb"epoch\W{0,3}(\d+)(?:\s*/\s*(\d+))?", re.IGNORECASE)
OF_TRAINING = re.compile(rb"^\W*$|train|epoch|step|iter", re.IGNORECASE)  # what may stand before a bar


class Steps:
    """Finds how far a run is, line by line; it knows no more than the lines so far."""

    def __init__(self, pattern: str | None, total: int | None) -> None:
        """A reader that has seen nothing.

        Args:
            pattern: Of the user; left out, what common trainers print.
            total: Steps of the whole run; left out, what the lines say.

        Raises:
            DescriptionError: The pattern is none.
        """
        self._pattern = None if pattern is None else _checked(pattern)
        self._given = total
        self._bar: int | None = None  # how many steps the bar has that tells the run's
        self._epoch: tuple[int, int | None] | None = None
        self._first_epoch = 1
        self.last: Found | None = None

    @property
    def finds_total(self) -> bool:
        """Whether it may learn how many steps there are: as given, or as lines say."""
        return self._given is not None or self._pattern is None or self._pattern.groups > 1

    def in_line(self, line: bytes) -> Found | None:
        """The step in a line, and how many there are; None where it says none, or one that was before."""
        if self._pattern is not None:
            match = self._pattern.search(line)
            found = None if match is None else _numbers(match.group(1), match.group(2) if match.re.groups > 1 else None)
        else:
            found = self._common(COLOURS.sub(b"", line))
        if found is None:
            return None
        step, total = found[0], self._given or found[1]
        is_later = self._pattern is not None or self.last is None or step > self.last[0]
        if not is_later or (total is not None and step > total):
            return None
        self.last = step, total
        return self.last

    def reader(self, tell: Callable[[int, int | None], None]) -> Callable[[bytes], None]:
        """What takes in one stream piece by piece, and tells the last step of each piece.

        Args:
            tell: Called with the step, and how many there are where that is known.
        """
        rest = b""

        def read(data: bytes) -> None:
            nonlocal rest
            *whole, rest = ENDS.split(rest + data)
            rest = rest[-LONGEST_LINE:]
            found = [one for line in whole if (one := self.in_line(line)) is not None]
            if found:
                tell(*found[-1])

        return read

    def _common(self, line: bytes) -> Found | None:
        """What a trainer's line says."""
        epoch = EPOCH.search(line)
        if epoch is not None:
            number, of = int(epoch.group(1)), epoch.group(2)
            self._first_epoch = 0 if number == 0 else self._first_epoch
            self._epoch = number, None if of is None else int(of)
        bar = BAR.search(line)
        if bar is not None:
            if not OF_TRAINING.search(bar.group(1)) and epoch is None:
                return None
            return self._of_pair(_numbers(bar.group(2), bar.group(3)))
        keras = KERAS.search(line)
        if keras is not None:
            return self._of_pair(_numbers(keras.group(1), keras.group(2)))
        for word in WORD:
            match = word.search(line)
            if match is not None:
                found = _numbers(match.group(1), match.group(2))
                return found if found is None or found[1] is None else self._of_pair(found)
        return None

    def _of_pair(self, found: Found | None) -> Found | None:
        """The step of the run that a step of so many is: the run's, or one of an epoch."""
        step, of = found or (0, None)
        if not of:
            return None
        if of == self._given:
            return found
        if self._epoch is not None:
            number, epochs = self._epoch
            total = self._given or (None if epochs is None else epochs * of)
            before = (number - self._first_epoch) * of
            return None if total is None or total % of else (before + step, total)
        if self._given is not None:
            return None
        if self._bar is None or (of > self._bar and self.last is not None and self.last[0] >= self._bar):
            self._bar = of  # the first bar, or a longer one after it came to its end
        return found if of == self._bar else None


def _numbers(step: bytes, total: bytes | None) -> Found | None:
    """The numbers that digits mean, with marks between thousands; None where the step is none."""
    digits = [b"" if one is None else one.replace(b",", b"").replace(b"_", b"") for one in (step, total)]
    return (int(digits[0]), int(digits[1]) if digits[1].isdigit() else None) if digits[0].isdigit() else None


def _checked(text: str) -> re.Pattern[bytes]:
    """What finds a step in a line.

    Raises:
        DescriptionError: It is no regular expression, or has no group.
    """
    try:
        pattern = re.compile(text.encode())
    except re.error as error:
        raise DescriptionError(f"--step-pattern {text!r} is no regular expression: {error}.") from None
    if pattern.groups < 1:
        raise DescriptionError(f"--step-pattern {text!r} has no group for the step. Write e.g. 'step (\\d+)'.")
    return pattern
