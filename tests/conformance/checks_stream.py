"""Checks of streams: framing, chunks, finish reasons, usage."""

from tests.conformance.cases import Exchange
from tests.conformance.checks_whole import FINISH_REASONS, USAGE_SUMS
from tests.conformance.expecting import (
    choices_of,
    chunks_of,
    expect,
    shown,
    streamed_choices,
    streamed_texts,
    usage_of,
)


def sse(seen: Exchange) -> None:
    """Server-sent events as both OpenAI libraries read them, of text_completion chunks."""
    text = seen.answer.text
    expect(seen.answer.events is not None, f"{seen.answer.status} {seen.answer.content_type}")
    chunks = chunks_of(seen.answer)
    expect(chunks, "no chunks")
    expect(text.endswith("data: [DONE]\n\n"), f"the end is {text[-40:]!r}")
    lines = text.split("\n")
    expect(all(line == "" or line.startswith(("data: ", ":")) for line in lines), "odd line")
    for chunk in chunks:
        fits = chunk.get("object") == "text_completion" and len(chunk["choices"]) <= 1
        expect(fits, str(chunk)[:120])


def stream_plain(seen: Exchange) -> None:
    """Nothing but data lines: no comments, [DONE] once, each choice with its keys."""
    expect(not any(line.startswith(":") for line in seen.answer.text.split("\n")), "a comment")
    expect((seen.answer.events or []).count("[DONE]") == 1, "[DONE] more than once")
    for choice in streamed_choices(seen.answer):
        keys = {"text", "index", "logprobs", "finish_reason"}
        expect(set(choice) >= keys, f"choice keys {sorted(choice)}")
        reason = choice["finish_reason"]
        expect(reason is None or reason in FINISH_REASONS, f"finish {reason}")


def stream_text_matches(seen: Exchange) -> None:
    """The joined text of each index is that of the whole answer."""
    whole = {choice["index"]: choice["text"] for choice in choices_of(seen.whole())}
    expect(streamed_texts(seen.answer) == whole, f"{streamed_texts(seen.answer)} against {whole}")


def stream_finish_matches(seen: Exchange) -> None:
    """Each index ends as it does in the whole answer."""
    whole = {choice["index"]: choice["finish_reason"] for choice in choices_of(seen.whole())}
    streamed = {
        choice["index"]: choice["finish_reason"]
        for choice in streamed_choices(seen.answer)
        if choice["finish_reason"]
    }
    expect(streamed == whole, f"{streamed} against {whole}")


def stream_text_lacks(seen: Exchange, part: str) -> None:
    texts = streamed_texts(seen.answer)
    expect(all(part not in text for text in texts.values()), texts)


def stream_starts(seen: Exchange, starts: list[str]) -> None:
    texts = streamed_texts(seen.answer)
    fits = all(texts[index].startswith(start) for index, start in enumerate(starts))
    expect(len(texts) == len(starts) and fits, texts)


def stream_constant(seen: Exchange) -> None:
    heads = {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks_of(seen.answer)}
    expect(len(heads) == 1, f"ids change: {heads}")


def stream_finish(seen: Exchange, count: int) -> None:
    """One finish_reason for each index, on its last chunk."""
    finished: dict[int, str | None] = {}
    for choice in streamed_choices(seen.answer):
        expect(finished.get(choice["index"]) is None, "a chunk after the finish")
        finished[choice["index"]] = choice["finish_reason"]
    expect(sorted(finished) == list(range(count)) and all(finished.values()), finished)


def stream_text_str(seen: Exchange) -> None:
    texts = [choice["text"] for choice in streamed_choices(seen.answer)]
    expect(all(isinstance(text, str) for text in texts), "a text that is no string")


def stream_no_usage(seen: Exchange) -> None:
    bad = [
        chunk
        for chunk in chunks_of(seen.answer)
        if chunk.get("usage") or len(chunk["choices"]) != 1
    ]
    expect(not bad, bad)


def stream_usage(seen: Exchange) -> None:
    """Usage on one last chunk without choices; null on all others."""
    chunks = chunks_of(seen.answer)
    last = chunks[-1]
    expect(last["choices"] == [] and last.get("usage"), f"last chunk: {last}")
    others = all("usage" in chunk and chunk["usage"] is None for chunk in chunks[:-1])
    expect(others, "the other chunks need usage: null")


def stream_usage_matches(seen: Exchange) -> None:
    one, other = usage_of(seen.answer), usage_of(seen.whole())
    expect(all(one[key] == other[key] for key in USAGE_SUMS), f"{one} against {other}")


def stream_usage_continuous(seen: Exchange) -> None:
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks_of(seen.answer)]
    expect(counts == sorted(counts) and counts[-1] > 0, counts)


def stream_handoffs_told(seen: Exchange, count: int) -> None:
    """A stream tells its hand-offs in the usage chunk."""
    told = usage_of(seen.answer).get("baton") or {}
    expect(told.get("handoffs") == count, f"usage.baton is {told}")


def stream_stop_cuts_anywhere(seen: Exchange) -> None:
    """Any part of the free text as stop: a stream ends before it, and no part of it leaks."""
    free = choices_of(seen.whole())[0]["text"]
    expect(len(free) >= 12, f"the free text is too short to cut: {free!r}")
    for start, length in ((3, 1), (5, 2), (4, 5), (len(free) // 2, 4), (1, 9)):
        stop = free[start : start + length]
        answer = seen.again({"stop": [stop]})
        expect(answer.status == 200, shown(answer))
        want = {0: free[: free.index(stop)]}
        expect(streamed_texts(answer) == want, f"{stop!r}: {streamed_texts(answer)}")
