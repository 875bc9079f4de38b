"""``config.yaml``, changed by the management: comments, quotes and order stay, and no value changes but what was asked for.

A change is made to plain values, as `dragoman.adapters.config_file` reads them. ruamel.yaml, which keeps comments, is then led to the same values in as few steps as
there are differences, its text is read again, and only if that is exactly what was meant, and a configuration that may be served, it takes the place of the
file, whole or not at all. Plain scalars are texts here too: ``yes``, ``0123`` and ``1e5`` stay as they were written.
"""

import copy
import hashlib
import io
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from dragoman.adapters.config_file import MAX_BYTES, ConfigFileError, LoadedConfig, printable, read_source
from dragoman.adapters.whole_files import write_whole

Data = dict[str, Any]
_LOCK: Final = threading.Lock()  # one writer at a time, whoever made the object
_LIST_ITEM: Final = re.compile(
    r"^(?P<key> *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ ]*(?:#[^\n]*)?\n)*(?P<dash> *)- ", re.MULTILINE
)


class EditError(Exception):
    """The file cannot be changed from here; the message says why and what to do."""


class Stale(EditError):
    """The file is another one than whoever changes it has seen."""


class ConfigEditor:
    """Changes a configuration file. Every method waits for the disk: not to be called on an event loop.

    Args:
        path: The file; where it is a link, what it leads to is changed.
        check: Reads and checks what the file would hold. Raises ConfigFileError.

    """

    def __init__(self, path: Path, check: Callable[[bytes], LoadedConfig]) -> None:
        self._path = path
        self._check = check

    def read(self) -> bytes:
        """What the file holds, secrets and all.

        Raises:
            EditError: It cannot be read.

        """
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise EditError(f"{self._path.name} cannot be read: {error.strerror}.") from None
        if len(content) > MAX_BYTES:
            raise EditError(f"{self._path.name} is larger than {MAX_BYTES} bytes.")
        return content

    def replace(self, content: bytes, seen: str | None = None) -> LoadedConfig:
        """Put another content in its place.

        Args:
            content: The content.
            seen: `tag_of` what the file is thought to hold; None: whatever it holds.

        Raises:
            ConfigFileError: It cannot be used; nothing was written.
            EditError: It cannot be written.

        """
        if len(content) > MAX_BYTES:
            raise EditError(f"A configuration has at most {MAX_BYTES} bytes.")
        with _LOCK:
            if seen is not None and tag_of(self.read()) != seen:
                raise Stale(f"{self._path.name} has changed meanwhile: read it again.")
            loaded = self._check(content)
            self._put(content)
        return loaded

    def _put(self, content: bytes) -> None:
        try:
            write_whole(self._path, content)
        except OSError as error:
            raise EditError(printable(f"{self._path.name} cannot be written: {error.strerror}.")) from None

    def edit(self, change: Callable[[Data], None]) -> LoadedConfig:
        """Change values.

        Args:
            change: Gets what the file holds, as plain values, and changes it; may raise.

        Raises:
            ConfigFileError: It could not be used then, or cannot be used now; nothing was written.
            EditError: It cannot be changed from here.

        """
        with _LOCK:
            before = self.read()
            data = read_source(before, str(self._path)).data
            if data is not None and not isinstance(data, dict):
                raise EditError(f"{self._path.name} does not hold keys and values: write it by hand.")
            wanted: Data = copy.deepcopy(data or {})
            change(wanted)
            wanted = texts_of(wanted)
            content = before if wanted == (data or {}) else rewritten(before, wanted)
            loaded = self._check(content)
            if (loaded.source.data or {}) != wanted:
                raise EditError(
                    f"{self._path.name} is written in a way (aliases, perhaps) in which this cannot be changed alone: change it by hand."
                )
            if content != before:
                self._put(content)
        return loaded


def tag_of(content: bytes) -> str:
    """A tag that changes with the content, for ``ETag`` and ``If-Match``."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def texts_of(value: Any) -> Any:
    """Plain values with each scalar as a configuration has it: a text, or None.

    >>> texts_of({"a": [True, 1, 0.5, None, "x"]})
    {'a': ['true', '1', '0.5', None, 'x']}
    """
    match value:
        case dict():
            return {str(key): texts_of(item) for key, item in value.items()}
        case list() | tuple():
            return [texts_of(item) for item in value]
        case bool():
            return "true" if value else "false"
        case None | str():
            return value
        case _:
            return str(value)


def rewritten(content: bytes, wanted: Data) -> bytes:
    """The file with other values and the same comments.

    Raises:
        EditError: It is YAML that cannot be rewritten.

    """
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    text = content.decode("utf-8-sig")
    writer = _writer(text)
    try:
        document = writer.load(text)
        out = io.StringIO()
        if not isinstance(document, CommentedMap):  # nothing but comments, perhaps
            document = CommentedMap()
            out.write(text.rstrip() + "\n" if text.strip() else "")
        _lead(document, wanted)
        writer.dump(document, out)
    except (YAMLError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise EditError(f"This file cannot be rewritten ({type(error).__name__}): change it by hand.") from None
    return out.getvalue().encode()


def _writer(text: str) -> Any:
    """A reader and writer that keeps what it is not told to change, and takes plain scalars for texts."""
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class Texts(VersionedResolver):
        @property
        def versioned_resolver(self) -> Any:
            kept = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
            return {
                first: [pair for pair in pairs if pair[0] in kept]
                for first, pairs in super().versioned_resolver.items()
            }

    writer = YAML(typ="rt")
    writer.Resolver = Texts
    writer.preserve_quotes = True
    writer.brace_single_entry_mapping_in_flow_sequence = True
    writer.width = 2**20
    writer.explicit_start = text.startswith("---")
    found = _LIST_ITEM.search(text)
    offset = len(found["dash"]) - len(found["key"]) if found is not None else 2
    offset = offset if 0 <= offset <= 8 else 2
    writer.indent(mapping=2, sequence=offset + 2, offset=offset)
    return writer


def _lead(node: Any, wanted: Any) -> None:
    """Change a mapping or a list where it differs from what is wanted, and nowhere else."""
    if isinstance(wanted, dict):
        for key in [key for key in node if key not in wanted]:
            del node[key]
        items: Any = wanted.items()
    else:
        del node[len(wanted) :]
        items = enumerate(wanted)
    for key, value in items:
        has = key in node if isinstance(wanted, dict) else key < len(node)
        if has and _is_alike(node[key], value):
            _lead(node[key], value)
        elif not has and isinstance(wanted, list):
            node.append(_made(value))
        elif not has:
            node[_made(key)] = _made(value)
        elif node[key] != value:
            node[key] = _made(value)


def _is_alike(node: Any, value: Any) -> bool:
    """Whether both are mappings, or both lists."""
    return (isinstance(node, dict) and isinstance(value, dict)) or (isinstance(node, list) and isinstance(value, list))


def _made(value: Any) -> Any:
    """A new part of the document."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    match value:
        case dict():
            return CommentedMap({_made(key): _made(item) for key, item in value.items()})
        case list():
            return CommentedSeq([_made(item) for item in value])
        case str() if not _reads_as_meant(value):
            return DoubleQuotedScalarString(value)
        case _:
            return value


_WORDS: Final = re.compile(r"true|false|-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?")


def _reads_as_meant(text: str) -> bool:
    """Whether a text may stand without quotes: it is a number or a truth, or no reader of YAML takes it for anything but a text."""
    if _WORDS.fullmatch(text):
        return True
    try:
        return bool(yaml.safe_load(text) == text)
    except (yaml.YAMLError, ValueError):
        return False


__all__ = ["ConfigEditor", "ConfigFileError", "EditError", "Stale", "tag_of", "texts_of"]
