"""``dragoman translate``: the translator at the end of a pipe."""

import os
import sys
from collections.abc import Sequence

import click

from dragoman.core.chat.loss import Loss
from dragoman.core.dialects import DIALECTS
from dragoman.core.errors import ClientError, UpstreamError
from dragoman.core.translate import StreamTranslator, translate_answer, translate_request

# What people call the dialects; the names of `DIALECTS` are understood as well.
ALIASES = {"chat": "openai_chat", "openai": "openai_chat", "responses": "openai_responses", "anthropic": "claude"}
_NAMES = [*DIALECTS, *(alias for alias, name in ALIASES.items() if name in DIALECTS)]
_PIECE = 64 * 1024


@click.command("translate")
@click.option("--from", "source", type=click.Choice(_NAMES), required=True, help="Dialect of what comes in.")
@click.option("--to", "target", type=click.Choice(_NAMES), required=True, help="Dialect of what goes out.")
@click.option("--answer", "kind", flag_value="answer", help="It is a whole answer.")
@click.option("--stream", "kind", flag_value="stream", help="It is a streamed answer, as server-sent events.")
@click.option("--model", help="The model to name in what goes out.")
@click.option(
    "--strict",
    is_flag=True,
    help="Fail when something of a request cannot be said in the other dialect; hints, which change no answer, pass.",
)
def command(source: str, target: str, kind: str | None, model: str | None, strict: bool) -> None:
    """Translate a request (or an answer, or a stream) from standard input to standard output.

    What the other dialect cannot say is shown on standard error, a line each. Ends with 1 when nothing could be translated.
    """
    source, target = ALIASES.get(source, source), ALIASES.get(target, target)
    try:
        if kind == "stream":
            losses = _stream(source, target, model)
        else:
            body = sys.stdin.buffer.read()
            if kind == "answer":
                answer = translate_answer(body, source, target, model=model)
                out, losses = answer.body, answer.losses
            else:
                asked = translate_request(body, source, target, model=model, is_strict=strict)
                out, losses = asked.body, asked.losses
            sys.stdout.buffer.write(out + b"\n")
    except (ClientError, UpstreamError) as error:
        click.echo(f"error: {error.message}", err=True)
        raise SystemExit(1) from None
    for loss in losses:
        click.echo(f"{loss.kind} {loss.path}: {loss.detail}", err=True)


def _stream(source: str, target: str, model: str | None) -> Sequence[Loss]:
    translator = StreamTranslator(source, target, model=model)
    while piece := os.read(sys.stdin.fileno(), _PIECE):
        sys.stdout.buffer.write(translator.feed(piece))
        sys.stdout.buffer.flush()
    sys.stdout.buffer.write(translator.close())
    if translator.fault is not None:
        click.echo(f"error: {translator.fault.message}", err=True)
        if not translator.has_begun:
            raise SystemExit(1)
    return translator.losses
