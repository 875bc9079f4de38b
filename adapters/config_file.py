"""``config.yaml``: from a file to a `Config`, every mistake with its line and column.

YAML is read as a graph of nodes, not as Python values: a node knows its place, and its scalar as it was written. Plain scalars stay
text (``no``, ``0123``, ``1e5``, ``4.10``), for `dragoman.core.config_parsing` knows what each value is meant to be and YAML 1.1 only
guesses. Nothing of the file's content is quoted but keys and harmless values: a line may hold a secret.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import yaml

from dragoman.core.config import Config
from dragoman.core.config_nodes import Notice
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError, Mistake

Place = tuple[int, int]
Steps = tuple[str | int, ...]

MAX_BYTES = 8 * 1024 * 1024
MAX_NODES = 200_000  # aliases let a small file describe a huge tree ("billion laughs")
MAX_DEPTH = 64

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_SECRET_KEYS = ("key", "keys", "secret", "token", "password", "headers", "dsn")
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@attrs.frozen
class ConfigSource:
    """A configuration as written, and where its parts are.

    Attributes:
        name: What messages call the file.
        data: Nested dicts, lists, texts and None; None for an empty file.
        places: Line and column, both counted from 1, of each path.
        mistakes: What YAML itself allows and we do not, such as a key given twice.

    """

    name: str
    data: object = attrs.field(repr=False)
    places: Mapping[Steps, Place] = attrs.field(repr=False)
    mistakes: tuple[Mistake, ...] = ()

    def locate(self, path: Steps) -> Place:
        """Line and column of `path`, or of the closest part around it that is in the file."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def render(self, mistake: Mistake) -> str:
        """One line for people: file, line, column, path, message; safe to print."""
        if not mistake.path:
            return printable(f"{self.name}: {mistake.message}")
        line, column = self.locate(mistake.path)
        return printable(f"{self.name}:{line}:{column}: {mistake.dotted()}: {mistake.message}")

    def render_all(self, mistakes: Sequence[Mistake]) -> tuple[str, ...]:
        """One line for each, in the order of the file."""
        return tuple(map(self.render, sorted(mistakes, key=lambda mistake: self.locate(mistake.path))))


@attrs.frozen
class LoadedConfig:
    """A configuration that can be used.

    Attributes:
        config: The values.
        source: Where they came from.
        notices: What the operator should know, each as one line.

    """

    config: Config
    source: ConfigSource
    notices: tuple[str, ...]


class ConfigFileError(Exception):
    """A configuration file that cannot be used; `lines` say why, one for each mistake, without any secret, and `mistakes` where that is known."""

    def __init__(self, lines: tuple[str, ...], mistakes: tuple[Mistake, ...] = ()) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.mistakes = mistakes


def load_config(path: Path, environment: Mapping[str, str]) -> LoadedConfig:
    """Read and check a file.

    Raises:
        ConfigFileError: It cannot be read, or has mistakes.

    """
    try:
        with path.open("rb") as file:
            content, mode = file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ConfigFileError((printable(f"{path}: cannot be read: {error.strerror}"),)) from None
    if len(content) > MAX_BYTES:
        raise ConfigFileError((printable(f"{path}: larger than {MAX_BYTES} bytes: is it a configuration at all?"),))
    loaded = check_content(content, str(path), environment)
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077 and _has_secrets(loaded.source.data):
        readable = f"holds secrets and other users may read it (mode {stat.S_IMODE(mode):04o}): chmod 600 it"
        loaded = attrs.evolve(loaded, notices=(*loaded.notices, loaded.source.render(Notice((), readable))))
    return loaded


def check_content(content: bytes, name: str, environment: Mapping[str, str]) -> LoadedConfig:
    """Check what a file holds, or could hold; `name` is what messages call it.

    Raises:
        ConfigFileError: It has mistakes.

    """
    source = read_source(content, name)
    try:
        config, notices = parse_config(source.data, environment=environment)
    except ConfigError as error:
        mistakes = (*source.mistakes, *error.mistakes)
        raise ConfigFileError(source.render_all(mistakes), mistakes) from None
    if source.mistakes:
        raise ConfigFileError(source.render_all(source.mistakes), source.mistakes)
    return LoadedConfig(config, source, source.render_all(notices))


def read_source(content: bytes, name: str) -> ConfigSource:
    """Read YAML.

    Args:
        content: The file's.
        name: What messages call it.

    Raises:
        ConfigFileError: It is not YAML, or not the harmless part of it that a configuration needs.

    """
    try:
        loader = _LOADER(content)
        try:
            node = loader.get_single_node()
            walk = _Walk()
            data = None if node is None else walk.value(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        context = f"{error.context}: " if error.context else ""
        raise ConfigFileError((printable(f"{name}:{place}: not valid YAML: {context}{error.problem}"),)) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigFileError((printable(f"{name}:1:1: not a text file in UTF-8"),)) from None
    except RecursionError:
        raise ConfigFileError((printable(f"{name}:1:1: nested too deeply"),)) from None
    return ConfigSource(name, data, walk.places, tuple(walk.mistakes))


def printable(text: str) -> str:
    """Escape what could move a terminal's cursor or fake a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Walk:
    """From nodes to values, noting places."""

    def __init__(self) -> None:
        self.places: dict[Steps, Place] = {}
        self.mistakes: list[Mistake] = []
        self._count = 0

    def value(self, node: yaml.Node, path: Steps) -> object:
        self._count += 1
        self._check_size(node, path)
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return None if node.tag == _NULL else node.value

    def _mapping(self, node: yaml.MappingNode, path: Steps) -> dict[str, object]:
        self._find_duplicates(node, path)
        result: dict[str, object] = {}
        for name, (key, value) in self._pairs(node, path).items():
            self.places[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            result[name] = self.value(value, (*path, name))
        return result

    def _pairs(self, node: yaml.MappingNode, path: Steps) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping and of what is merged into it (``<<: *anchor``); what is written in it wins, then who comes first.

        Not PyYAML's `flatten_mapping`: in 6.0.4 it takes the wrong value when what is merged was itself merged.
        """
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            self._count += 1
            self._check_size(node, path)
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                    if isinstance(source, yaml.MappingNode):
                        merged = self._pairs(source, path) | merged
                    else:
                        self._note(path, source, "expected keys and values, or a list of those, to merge in with '<<'")
            elif isinstance(key, yaml.ScalarNode):
                own[key.value] = (key, value)
            else:
                self._note(path, key, "expected a plain text as key")
        return merged | own

    def _find_duplicates(self, node: yaml.MappingNode, path: Steps) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                both = f"given twice, in lines {lines[key.value]} and {line}: only one could count, so merge them"
                self.mistakes.append(Mistake((*path, key.value), both))
            lines.setdefault(key.value, line)

    def _check_size(self, node: yaml.Node, path: Steps) -> None:
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too large or nested too deeply", problem_mark=node.start_mark)

    def _note(self, path: Steps, node: yaml.Node, message: str) -> None:
        self.mistakes.append(Mistake(path, f"line {node.start_mark.line + 1}: {message}"))


def _has_secrets(data: object) -> bool:
    """Whether a secret stands in the file itself, not in the environment. Every key counts whose name says so."""
    return any(
        text and "${" not in text and not text.startswith("os.environ/") and key.endswith(_SECRET_KEYS)
        for key, text in _texts(data, "")
    )


def _texts(data: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text in `data` with the key that it is under: the closest one that tells a secret, if any."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _texts(value, key if key.endswith(_SECRET_KEYS) else name)
    elif isinstance(data, list):
        for item in data:
            yield from _texts(item, key)
    elif isinstance(data, str):
        yield key, data
