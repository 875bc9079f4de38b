"""Reading one value of a configuration: what it should be, what came instead, where.

Every reader returns a usable value whatever it finds, and adds what is wrong to `Reading.mistakes`; so one pass finds all mistakes.
``null`` is the same as absent. The schema, not YAML, says what a value is: ``port: "8317"`` is a number, ``api-keys: [no]`` a text.
Messages quote what was written, never what an environment variable held, and nothing of a secret.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping

import attrs

from dragoman.core.errors import Mistake

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(\{))")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)[ ]?([KMG]?)(i?)B", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})

Path = tuple[str | int, ...]


@attrs.frozen
class Notice(Mistake):
    """Something that does not stop us, but that whoever wrote the configuration should know."""


@attrs.define
class Reading:
    """One pass over a configuration: the environment it refers to, and what was found."""

    environment: Mapping[str, str]
    mistakes: list[Mistake] = attrs.field(factory=list)
    notices: list[Notice] = attrs.field(factory=list)
    _said: set[Path] = attrs.field(factory=set)

    def notice_once(self, path: Path, message: str) -> None:
        """Add a notice, unless the same place in another list item has one already."""
        place = tuple(step for step in path if isinstance(step, str))
        if place not in self._said:
            self._said.add(place)
            self.notices.append(Notice(path, message))


@attrs.frozen
class Node:
    """A value and where it is."""

    reading: Reading
    path: Path
    value: object

    def mistake(self, message: str) -> None:
        """Say that this value cannot be used."""
        self.reading.mistakes.append(Mistake(self.path, message))

    def notice(self, message: str) -> None:
        """Say that this value has no effect, or another one than its author may think."""
        self.reading.notices.append(Notice(self.path, message))

    def section(self, *, secret: bool = False) -> "Section":
        """A mapping; empty when absent. What came instead is not quoted when it may be a `secret`."""
        if self.value is not None and not isinstance(self.value, Mapping):
            self.mistake(f"expected keys and values, got {'something else' if secret else describe(self.value)}")
        return Section(self, self.value if isinstance(self.value, Mapping) else {})

    def items(self, *, secret: bool = False) -> tuple["Node", ...]:
        """The items of a list; none when absent. What came instead is not quoted when it may be a `secret`."""
        if isinstance(self.value, (list, tuple)):
            return tuple(Node(self.reading, (*self.path, i), item) for i, item in enumerate(self.value))
        if self.value is not None and self.value != {}:
            got = "something else" if secret else describe(self.value)
            self.mistake(f"expected a list (one line with a dash for each item), got {got}")
        return ()

    def text(self, *, secret: bool = False) -> str | None:
        """A text with its references to the environment filled in, without spaces around it; None when absent or mistaken."""
        value = self.value
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)
        if not isinstance(value, str):
            self.mistake(f"expected text, got {describe(value)}; put quotes around it if it is meant as text")
            return None
        if secret and value.startswith("os.environ/"):  # LiteLLM's way
            return self._variable(value.removeprefix("os.environ/"))
        return _REFERENCE.sub(self._reference, value).strip()

    def boolean(self, default: bool) -> bool:
        """A truth value; the words of YAML 1.1 (yes, no, on, off) count."""
        if self.value is None:
            return default
        if isinstance(self.value, bool):
            return self.value
        word = (self.text() or "").lower() if isinstance(self.value, str) else ""
        if word not in _TRUE | _FALSE:
            self.mistake(f"expected true or false, got {describe(self.value)}")
        return word in _TRUE

    def integer(self, default: int, least: int, most: int) -> int:
        """A whole number within bounds, as a number or as text."""
        if self.value is None:
            return default
        number: int | None = None
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            number = self.value
        elif isinstance(self.value, str) and _INTEGER.fullmatch(text := self.text() or ""):
            number = int(text)
        if number is None or not least <= number <= most:
            self.mistake(f"expected a whole number from {least} to {most}, got {describe(self.value)}")
            return default
        return number

    def seconds(self, default: float, least: float) -> float:
        """A duration: a number of seconds, or like ``250ms``, ``90s``, ``1h30m``."""
        return self._measure(
            default, least, 366 * 86400.0, parse_seconds, "seconds, or a duration like 90s, 5m or 1h30m"
        )

    def size(self, default: int, least: int) -> int:
        """An amount of bytes: a number, or like ``64KB``, ``64MiB``."""
        return int(self._measure(default, least, 2.0**40, parse_size, "bytes, or a size like 64KB or 64MiB"))

    def ratio(self, default: float) -> float:
        """A share: a number over 0 and up to 1, or a percentage like ``5%``."""

        def parse(text: str) -> float | None:
            number = text.removesuffix("%")
            if not _NUMBER.fullmatch(number):
                return None
            return float(number) / 100 if number != text else float(number)

        return self._measure(default, 1e-9, 1.0, parse, "a share like 0.05 or 5%")

    def choice(self, default: str, choices: Collection[str]) -> str:
        """One of a few words."""
        word = self.text()
        if word is None or word in choices:
            return word or default
        self.mistake(f"expected one of {', '.join(choices)}; got {describe(self.value)}{near(word, choices)}")
        return default

    def _measure(
        self, default: float, least: float, most: float, parse: Callable[[str], float | None], what: str
    ) -> float:
        if self.value is None:
            return default
        number: float | None = None
        if isinstance(self.value, (int, float)) and not isinstance(self.value, bool):
            number = self.value
        elif isinstance(self.value, str):
            number = parse(self.text() or "")
        if number is None or not least <= number <= most:
            self.mistake(f"expected {what}, at least {least:g} and at most {most:g}; got {describe(self.value)}")
            return default
        return number

    def _reference(self, match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        if match[3]:
            self.mistake("'${' begins a reference like ${NAME}; write '$${' where a dollar sign and a brace are meant")
            return ""
        return self._variable(match[2]) or ""

    def _variable(self, name: str) -> str | None:
        value = self.reading.environment.get(name)
        if value is None or not value.strip():
            state = "not set" if value is None else "set but empty"
            self.mistake(
                f"refers to the environment variable {name!r}, which is {state}; export it, or write the value here"
            )
            return None
        return value.strip()


class Section:
    """A mapping and where it is; a key that is not there reads as null."""

    def __init__(self, node: Node, mapping: Mapping[object, object]) -> None:
        self.node = node
        self._mapping = mapping

    def __getitem__(self, key: str) -> Node:
        return Node(self.node.reading, (*self.node.path, key), self._mapping.get(key))

    def nodes(self) -> tuple[Node, ...]:
        """All values, for a section whose keys are names. Keys that are no text are mistakes."""
        for key in self._mapping:
            if not isinstance(key, str):
                self.node.mistake(f"expected names as keys, got {describe(key)}")
        return tuple(self[key] for key in self._mapping if isinstance(key, str))

    def among(self, names: Collection[str]) -> tuple[Node, ...]:
        """The values of those of `names` that are there, in the order of the file."""
        return tuple(self[key] for key in self._mapping if isinstance(key, str) and key in names)

    def check_keys(self, known: Collection[str], others: Mapping[str, str], *, secret: bool = False) -> None:
        """Report every key that is not `known`: with a notice when it is in `others` (which has the text), else as a mistake.

        Args:
            known: The keys that are read.
            others: Keys that are accepted, and why they have no effect.
            secret: The keys may be slips of a secret, so they are not quoted.

        """
        for key, value in self._mapping.items():
            if key in known:
                continue
            if isinstance(key, str) and key in others:
                if value is not None and value != {} and value != []:
                    self.node.reading.notice_once((*self.node.path, key), others[key])
            elif secret or not isinstance(key, str):
                meant = near(key, [*known, *others]) if isinstance(key, str) else ""
                self.node.mistake(f"expected only the keys {', '.join(known)} here{meant}")
            else:
                unknown = Node(self.node.reading, (*self.node.path, key), value)
                unknown.mistake(f"unknown key {key[:60]!r}{near(key, [*known, *others]) or '; remove it'}")


def parse_seconds(text: str) -> float | None:
    """Read a duration, in seconds; None when it is none.

    >>> parse_seconds("1h30m"), parse_seconds("250ms"), parse_seconds("90"), parse_seconds("90 s")
    (5400.0, 0.25, 90.0, None)
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    pairs = _DURATION.findall(text)
    if not pairs or "".join(amount + unit for amount, unit in pairs) != text:
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in pairs)


def parse_size(text: str) -> float | None:
    """Read an amount of bytes; None when it is none.

    >>> parse_size("64KiB"), parse_size("64kb"), parse_size("1.5MiB"), parse_size("12"), parse_size("12 apples")
    (65536.0, 64000.0, 1572864.0, 12.0, None)
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    unit = 1024.0 if match[3] else 1000.0
    return float(match[1]) * math.pow(unit, " KMG".index(match[2].upper() or " "))


def describe(value: object) -> str:
    """A value in words, for a message; long texts are cut.

    >>> describe("no idea"), describe(None), describe({})
    ("'no idea'", 'nothing', 'keys and values')
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**18):
        return str(value).lower()
    if isinstance(value, int):
        return "a huge number"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "keys and values" if isinstance(value, Mapping) else f"a value of type {type(value).__name__}"


def near(word: str, words: Collection[str]) -> str:
    """A question after the word that was meant, ready to be appended to a message; empty when none is close.

    >>> near("debgu", ["debug", "host"])
    "; did you mean 'debug'?"
    """
    import difflib  # costs a start without mistakes 6 ms otherwise

    close = difflib.get_close_matches(word[:60].lower().replace("_", "-"), words, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
