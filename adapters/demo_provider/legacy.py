"""OpenAI's legacy ``/v1/completions``: each prompt is continued with what the chat would say."""

from typing import Any

from dragoman.adapters.demo_provider.answers import (
    CREATED,
    Answer,
    Question,
    Turn,
    count_tokens,
    decide,
    fragments,
    seed_of,
)
from dragoman.adapters.demo_provider.chat import DONE, MAX_CHOICES, headers
from dragoman.adapters.demo_provider.reading import BadQuestion, Request, items, mapping, string, whole
from dragoman.adapters.demo_provider.reply import Reply, json_reply, sse, sse_reply


def complete(request: Request, body: dict[str, Any]) -> Reply:
    """Answer ``POST /v1/completions``."""
    seed, count = seed_of(body), min(max(whole(body.get("n")) or 1, 1), MAX_CHOICES)
    questions = [_question(body, prompt, seed) for prompt in read_prompts(body.get("prompt"), "prompt")]
    answers = [decide(question, salt=number) for question in questions for number in range(count)]
    spent = sum(question.input_tokens for question in questions)
    output = sum(answer.output_tokens for answer in answers)
    usage = {"prompt_tokens": spent, "completion_tokens": output, "total_tokens": spent + output}
    frame = {"id": f"cmpl-{seed}", "object": "text_completion", "created": CREATED, "model": body["model"]}
    if body.get("stream") is not True:
        choices = [_choice(number, answer.text, _finish(answer)) for number, answer in enumerate(answers)]
        return json_reply(frame | {"choices": choices, "usage": usage}, headers=headers(seed))
    usage_wanted = mapping(body.get("stream_options")).get("include_usage") is True
    null = {"usage": None} if usage_wanted else {}
    choices = [_choice(n, piece, None) for n, answer in enumerate(answers) for piece in fragments(answer.text)]
    choices += [_choice(n, "", _finish(answer)) for n, answer in enumerate(answers)]
    events = [sse(frame | {"choices": [choice]} | null) for choice in choices]
    events += [sse(frame | {"choices": [], "usage": usage})] if usage_wanted else []
    return sse_reply([*events, DONE], headers=headers(seed))


def read_prompts(value: object, field: str) -> list[str]:
    """Read one or several prompts: text, or token numbers, which read as words like ``<17>``.

    Raises:
        BadQuestion: It is none of these, or empty.

    """
    if isinstance(value, str):
        return [value]
    many = items(value)
    if many and all(isinstance(one, int) for one in many):
        return [_from_numbers(many)]
    if not many or not all(one and isinstance(one, str | list) for one in many):
        raise BadQuestion(f"{field} must be text, token numbers, or a non-empty array of these", field)
    return [one if isinstance(one, str) else _from_numbers(one) for one in many]


def _from_numbers(numbers: list[Any]) -> str:
    return " ".join(f"<{number}>" for number in numbers if isinstance(number, int))


def _question(body: dict[str, Any], prompt: str, seed: str) -> Question:
    model, stop = string(body.get("model")), body.get("stop")
    if not model:
        raise BadQuestion("you must provide a model parameter", "model")
    limit = whole(body.get("max_tokens"))
    return Question(
        model=model,
        seed=seed,
        turns=(Turn("user", prompt),),
        input_tokens=count_tokens(prompt),
        max_tokens=16 if limit is None else limit,
        stops=(stop,) if isinstance(stop, str) else tuple(filter(None, map(string, items(stop)))),
    )


def _finish(answer: Answer) -> str:
    return "length" if answer.finish == "length" else "stop"


def _choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": finish}
