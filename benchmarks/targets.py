"""Who is measured: the mock itself (``direct``), this gateway on each event loop, and the peers of ``peers/*.toml``.

A peer's file says which program it ``needs``, the ``command`` to start it, its ``version`` command, ``files`` to write and ``env`` to set
first, whether its answers must be ``exact``ly the mock's bytes, how many seconds it may take to start (``start_limit``) and how many
streams it can hold (``max_streams``). ``{port}``, ``{upstream}`` (a port), ``{folder}`` and ``{key}`` are filled in.
"""

import contextlib
import http.client
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from benchmarks import data
from benchmarks.processes import StartError, free_port, running, wait_listening
from benchmarks.results import is_ours

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = Path(__file__).parent / "peers"
_FOLDERS: Final = ("adapters", "core", "dragoman", "transports")

# The transport takes uvloop where it is installed; a None in sys.modules makes its import fail, as if it were not.
WITHOUT_UVLOOP: Final = (
    "import sys; sys.modules['uvloop'] = None; from dragoman.adapters.cli import main; sys.argv[0] = 'dragoman'; main()"
)


class CheckError(Exception):
    """A target does not give the mock's answer."""


@dataclass(frozen=True)
class Target:
    """Something that answers like the mock.

    Attributes:
        name: As in the tables.
        command: How to start it; empty for the mock itself.
        files: Name -> content of what to write first.
        env: Set for it.
        version: What it calls itself.
        exact: Whether its answers must be the mock's bytes, or may be its own with the same text.
        start_limit: Seconds it may take to listen and to answer.
        max_streams: It is not asked for more.
        skipped: Why it is not measured; empty when it is.

    """

    name: str
    command: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    exact: bool = True
    start_limit: float = 15.0
    max_streams: float = math.inf
    skipped: str = ""


def dragoman_config() -> str:
    """Our configuration: one key, every model under another name, and under yet another at a provider that speaks Claude's dialect."""
    models = "".join(f"      - {{name: {m}, alias: {data.ALIAS_PREFIX}{m}}}\n" for m in data.MODELS)
    foreign = "".join(f"      - {{name: {m}, alias: {data.ALIAS_PREFIX}{data.FOREIGN}{m}}}\n" for m in data.MODELS)
    return (
        f"host: 127.0.0.1\nport: {{port}}\napi-keys: [{{key}}]\nauth-dir: {{folder}}\nstate-file: none\nopenai-compatibility:\n"
        f"  - name: mock\n    base-url: http://127.0.0.1:{{upstream}}/v1\n"
        f"    api-key-entries: [{{api-key: {data.UPSTREAM_KEY}}}]\n    models:\n{models}"
        f"claude-api-key:\n  - api-key: {data.UPSTREAM_KEY}\n    base-url: http://127.0.0.1:{{upstream}}\n    models:\n{foreign}"
    )


def our_targets() -> list[Target]:
    """This gateway on trio, on asyncio, and on asyncio with uvloop; with its bytecode written, as any installed program has it."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", *_FOLDERS], cwd=ROOT, check=True)
    serve = ("serve", "--config", "{folder}/config.yaml", "--host", "127.0.0.1", "--port", "{port}", "--transport")
    plain = (sys.executable, "-m", "dragoman", *serve)
    version = subprocess.run(
        [sys.executable, "-c", "import dragoman; print(dragoman.__version__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    files = {"config.yaml": dragoman_config()}
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    return [
        Target("dragoman-trio", (*plain, "trio"), files, version=version),
        Target("dragoman-asyncio", (sys.executable, "-c", WITHOUT_UVLOOP, *serve, "asyncio"), files, version=version),
        Target(
            "dragoman-uvloop", (*plain, "asyncio"), files, version=version,
            skipped="" if has_uvloop else "uvloop is not installed",
        ),
    ]  # fmt: skip


def read_peer(path: Path) -> Target:
    """A peer from its file; skipped when its program is not here."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    program = str(table["needs"])
    is_here = shutil.which(program) is not None
    return Target(
        path.stem,
        tuple(cast(list[str], table["command"])),
        cast(dict[str, str], table.get("files", {})),
        cast(dict[str, str], table.get("env", {})),
        version=ask_version(cast(list[str], table["version"])) if is_here else "",
        exact=bool(table.get("exact", False)),
        start_limit=float(table.get("start_limit", 15)),
        max_streams=float(table.get("max_streams", math.inf)),
        skipped="" if is_here else f"{program} is not installed",
    )


def ask_version(command: list[str]) -> str:
    """What a program calls itself: the first number with dots in what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def peer_targets(names: list[str] | None) -> list[Target]:
    """The peers named, or all there are files for.

    Raises:
        SystemExit: There is no file for a name.

    """
    known = {path.stem: path for path in sorted(PEERS.glob("*.toml"))}
    if unknown := set(names or []) - set(known):
        sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [read_peer(path) for name, path in known.items() if names is None or name in names]


@dataclass(frozen=True)
class Running:
    """A target that has answered.

    Attributes:
        port: Where it listens.
        pid: Its process; None for the mock itself.
        listen_s: From its start until it listened.
        answer_s: From its start until its first 200.

    """

    port: int
    pid: int | None
    listen_s: float
    answer_s: float


@contextlib.contextmanager
def started(target: Target, upstream: int, folder: Path, *, cpus: set[int]) -> Iterator[Running]:
    """Run a target in front of the mock on port `upstream`, in a folder of its own, until it is left.

    Raises:
        StartError: It ended, or did not listen or answer in time.

    """
    if not target.command:
        yield Running(upstream, None, 0.0, 0.0)
        return
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    blanks = {"{port}": str(port), "{upstream}": str(upstream), "{folder}": str(folder), "{key}": data.CLIENT_KEY}

    def fill(text: str) -> str:
        for blank, value in blanks.items():
            text = text.replace(blank, value)
        return text

    for name, content in target.files.items():
        (folder / name).write_text(fill(content), encoding="utf-8")
    log = folder / "output.log"
    begun = time.monotonic()
    with running([fill(word) for word in target.command], log, cpus=cpus, env=target.env, cwd=ROOT) as process:
        wait_listening(process, port, log, limit=target.start_limit)
        listening = time.monotonic()
        while (status := ask(port, "bench-json")[0]) != 200:
            if time.monotonic() > begun + target.start_limit or process.poll() is not None:
                raise StartError(f"answers {status} to its first request")
            time.sleep(0.005)
        yield Running(port, process.pid, listening - begun, time.monotonic() - begun)


def ask(port: int, model: str) -> tuple[int, bytes]:
    """One chat completion: status (0 when the connection failed) and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = data.request_body(data.ALIAS_PREFIX + model, stream=model != "bench-json")
    try:
        connection.request("POST", data.PATH["openai_chat"], body, dict(data.request_headers()))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def check_answers(target: Target, port: int) -> None:
    """See that a target gives the mock's answers before it is timed, streamed and not.

    Raises:
        CheckError: It does not.

    """
    for model in ("bench-json", "bench-fast", "bench-split", "bench-paced-50"):
        status, body = ask(port, model)
        if status != 200:
            raise CheckError(f"answers {status} for {model}: {body[:200].decode(errors='replace')}")
        if model == "bench-paced-50":
            is_right = body.count(b"\n\n") == 50 if target.exact else b"[DONE]" in body
        elif model == "bench-json":
            expected = data.chat_answer()
            is_right = body == expected if target.exact else text_of(body) == text_of(expected)
        else:
            expected = b"".join(data.chat_events())
            is_right = body == expected if target.exact else stream_text(body) == stream_text(expected)
        if not is_right:
            raise CheckError(f"gives another answer than the mock for {model}")
    if is_ours(target.name):
        _check_translation(port)


def _check_translation(port: int) -> None:
    status, body = ask(port, data.FOREIGN + "bench-fast")
    if status != 200 or not body.endswith(b"data: [DONE]\n\n"):
        raise CheckError(f"answers {status} where it has to translate: {body[:200].decode(errors='replace')}")
    if stream_text(body) != data.claude_text():
        raise CheckError("translates a stream to another text")


def text_of(answer: bytes) -> object:
    """The text of a chat completion."""
    return json.loads(answer)["choices"][0]["message"]["content"]


def stream_text(stream: bytes) -> str:
    """The text of a chat stream, its deltas joined."""
    chunks = [json.loads(found) for found in re.findall(rb"^data: (\{.*)$", stream, re.MULTILINE)]
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
