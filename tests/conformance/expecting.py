"""How a check fails, and how it takes an answer apart."""

import json
from typing import Any

from tests.asking import Answer

LOGPROB_LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
SHOWN_CHARACTERS = 200


class CheckFailed(AssertionError):
    """The answer is not what the case demands."""


def expect(holds: object, message: object) -> None:
    """CheckFailed with `message` unless it holds."""
    if not holds:
        raise CheckFailed(str(message)[: 3 * SHOWN_CHARACTERS])


def shown(answer: Answer) -> str:
    return f"{answer.status} {answer.text[:SHOWN_CHARACTERS]}"


def choices_of(answer: Answer) -> list[dict[str, Any]]:
    """The choices of a whole answer, by index."""
    expect(answer.events is None and answer.status == 200, f"no whole answer: {shown(answer)}")
    body = answer.json
    expect(isinstance(body, dict) and "choices" in body, f"no choices: {shown(answer)}")
    return sorted(body["choices"], key=lambda choice: int(choice["index"]))


def texts_of(answer: Answer) -> list[str]:
    return [str(choice["text"]) for choice in choices_of(answer)]


def chunks_of(answer: Answer) -> list[dict[str, Any]]:
    """The chunks of a stream without its [DONE], which must be there."""
    events = answer.events
    expect(events is not None, f"not a stream: {shown(answer)}")
    assert events is not None
    expect(
        events and events[-1] == "[DONE]",
        f"no [DONE] at the end: {answer.text[-SHOWN_CHARACTERS:]}",
    )
    return [json.loads(event) for event in events[:-1]]


def streamed_choices(answer: Answer) -> list[dict[str, Any]]:
    """Every choice object of every chunk, in the order of arrival."""
    return [choice for chunk in chunks_of(answer) for choice in chunk["choices"]]


def streamed_texts(answer: Answer) -> dict[int, str]:
    """The joined text of each index of a stream."""
    texts: dict[int, str] = {}
    for choice in streamed_choices(answer):
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    return texts


def usage_of(answer: Answer) -> dict[str, Any]:
    """The usage of a whole answer, or the last one that a stream told."""
    if answer.events is None:
        return dict(answer.json["usage"])
    told = [chunk["usage"] for chunk in chunks_of(answer) if chunk.get("usage")]
    expect(told, "the stream told no usage")
    return dict(told[-1])


def logprobs_of(choice: dict[str, Any]) -> dict[str, list[Any]]:
    """A choice's logprobs; the four lists must be there and equally long."""
    logprobs = choice.get("logprobs")
    expect(isinstance(logprobs, dict), f"logprobs is {str(logprobs)[:80]}")
    assert isinstance(logprobs, dict)
    expect(all(name in logprobs for name in LOGPROB_LISTS), f"logprobs keys {sorted(logprobs)}")
    lengths = {len(logprobs[name]) for name in LOGPROB_LISTS}
    expect(len(lengths) == 1, f"lists of different lengths: {sorted(lengths)}")
    return logprobs
