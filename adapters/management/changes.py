"""Changing the configuration file from a handler: in a worker thread, checked before it is written, served when the answer comes."""

from collections.abc import Callable
from typing import Any

import orjson

from dragoman.adapters.config_editing import ConfigEditor, ConfigFileError, Data, EditError, Stale
from dragoman.adapters.config_file import LoadedConfig, read_source
from dragoman.adapters.management.desk import Desk, Refused, answer_json, refused
from dragoman.adapters.reloading import settled_changes
from dragoman.core.answers import error_body
from dragoman.core.effects import LocalAnswer, Step


def editor_of(desk: Desk) -> ConfigEditor:
    """Who changes the file.

    Raises:
        Refused: There is none.

    """
    if desk.config_path is None or desk.check is None:
        message = "The gateway was started without a configuration file: there is nothing to change. `dragoman init` makes one."
        raise refused(409, message, "no_config_file")
    return ConfigEditor(desk.config_path, desk.check)


def change(desk: Desk, what: str, edit: Callable[[Data], None], **said: Any) -> Step:
    """Change the file.

    Args:
        desk: The desk.
        what: Which key, for the log.
        edit: Changes plain values; may refuse.
        said: Further fields of the answer.

    """
    editor, before = editor_of(desk), desk.config

    def write() -> Step:
        loaded = attempt(lambda: editor.edit(edit))
        desk.logs.info("configuration changed", key=what, by="management")
        later = settled_changes(before, loaded.config)
        return desk.done(answer_json({"status": "ok", **said, **({"needs_restart": list(later)} if later else {})}))

    return write


def attempt(write: Callable[[], LoadedConfig]) -> LoadedConfig:
    """Change the file, or say in an answer why that cannot be.

    Raises:
        Refused: It cannot.

    """
    try:
        return write()
    except ConfigFileError as error:
        raise Refused(mistakes_answer(error)) from None
    except Stale as error:
        raise refused(412, str(error), "changed_meanwhile") from None
    except EditError as error:
        raise refused(409, str(error), "cannot_be_written") from None


def content_of(editor: ConfigEditor) -> bytes:
    """What the file holds.

    Raises:
        Refused: It cannot be read.

    """
    try:
        return editor.read()
    except EditError as error:
        raise refused(409, str(error), "cannot_be_read") from None


def data_of(editor: ConfigEditor) -> Data:
    """What the file says, as plain values.

    Raises:
        Refused: It cannot be read.

    """
    try:
        data = read_source(content_of(editor), "config.yaml").data
    except ConfigFileError as error:
        raise refused(409, "\n".join(error.lines), "cannot_be_read") from None
    return data if isinstance(data, dict) else {}


def mistakes_answer(error: ConfigFileError) -> LocalAnswer:
    """All mistakes, for people and for programs."""
    if not error.mistakes:
        return LocalAnswer(400, error="\n".join(error.lines), code="invalid_yaml")
    told = orjson.loads(error_body("openai_chat", 422, "\n".join(error.lines), code="invalid_config"))
    mistakes = [{"path": mistake.dotted(), "message": mistake.message} for mistake in error.mistakes]
    return answer_json({**told, "mistakes": mistakes}, 422, ((b"x-dragoman-fault", b"client"),))
