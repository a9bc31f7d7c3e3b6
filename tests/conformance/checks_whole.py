"""Checks of whole (not streamed) answers: their shape, choices, text and usage."""

import time
from typing import Any

from tests.conformance.cases import Exchange
from tests.conformance.expecting import choices_of, expect, shown, texts_of, usage_of

USAGE_SUMS = ("prompt_tokens", "completion_tokens", "total_tokens")
PROMPT_DETAILS = ("cached_tokens", "text_tokens", "audio_tokens", "image_tokens")
COMPLETION_DETAILS = ("text_tokens", "audio_tokens", "reasoning_tokens")
FINISH_REASONS = ("stop", "length", "content_filter")


def is_integer(value: object) -> bool:
    return type(value) is int


def object_whole(seen: Exchange) -> None:
    """Every required field of a completion object, with its type."""
    body = seen.answer.json
    expect(isinstance(body, dict), f"no JSON object: {shown(seen.answer)}")
    expect(body.get("object") == "text_completion", f"object={body.get('object')}")
    expect(isinstance(body.get("id"), str) and body["id"], "id")
    expect(is_integer(body.get("created")), "created")
    expect(isinstance(body.get("model"), str), "model")
    for place, choice in enumerate(body["choices"]):
        keys = ("text", "index", "logprobs", "finish_reason")
        expect(all(key in choice for key in keys), f"choice keys {sorted(choice)}")
        expect(isinstance(choice["text"], str), "text")
        expect(choice["index"] == place, f"index {choice['index']} at place {place}")
        expect(choice["finish_reason"] in FINISH_REASONS, f"finish {choice['finish_reason']}")
    expect(all(is_integer(body["usage"].get(key)) for key in USAGE_SUMS), f"usage {body['usage']}")


def object_if_200(seen: Exchange) -> None:
    if seen.answer.status == 200:
        object_whole(seen)


def choices(seen: Exchange, count: int) -> None:
    indexes = [choice["index"] for choice in choices_of(seen.answer)]
    expect(indexes == list(range(count)), f"want {count} choices, got {indexes}")


def finish_in(seen: Exchange, allowed: list[str]) -> None:
    reasons = [choice["finish_reason"] for choice in choices_of(seen.answer)]
    expect(all(reason in allowed for reason in reasons), reasons)


def completion_tokens_le(seen: Exchange, most: int) -> None:
    expect(usage_of(seen.answer)["completion_tokens"] <= most, usage_of(seen.answer))


def completion_tokens_eq(seen: Exchange, want: int) -> None:
    expect(usage_of(seen.answer)["completion_tokens"] == want, usage_of(seen.answer))


def completion_tokens_gt_choice(seen: Exchange, choices_count: int) -> None:
    """best_of candidates are billed: more tokens than the returned choices alone."""
    expect(usage_of(seen.answer)["completion_tokens"] > 2 * choices_count, usage_of(seen.answer))


def length_means_max(seen: Exchange, most: str) -> None:
    """finish_reason `length` only when exactly so many tokens were generated."""
    length = choices_of(seen.answer)[0]["finish_reason"] == "length"
    tokens = usage_of(seen.answer)["completion_tokens"]
    expect(not length or tokens == int(most), f"length with {tokens} tokens")


def choice_key_null(seen: Exchange, key: str) -> None:
    present = all(key in choice and choice[key] is None for choice in choices_of(seen.answer))
    expect(present, f"{key} is absent or not null")


def id_prefix(seen: Exchange, prefix: str) -> None:
    expect(seen.answer.json["id"].startswith(prefix), seen.answer.json["id"])


def fresh_id(seen: Exchange) -> None:
    expect(seen.again().json["id"] != seen.answer.json["id"], "the same id twice")


def created_now(seen: Exchange) -> None:
    expect(abs(seen.answer.json["created"] - time.time()) < 120, seen.answer.json["created"])


def model_echo(seen: Exchange) -> None:
    expect(seen.answer.json["model"] == seen.endpoint.model, seen.answer.json["model"])


def usage_sum(seen: Exchange) -> None:
    usage = usage_of(seen.answer)
    total = usage["prompt_tokens"] + usage["completion_tokens"]
    expect(usage["total_tokens"] == total and usage["prompt_tokens"] > 0, usage)


def cached_tokens_int(seen: Exchange) -> None:
    details = usage_of(seen.answer).get("prompt_tokens_details") or {}
    expect(is_integer(details.get("cached_tokens")), usage_of(seen.answer))


def completion_details(seen: Exchange) -> None:
    details = usage_of(seen.answer).get("completion_tokens_details") or {}
    keys = ("reasoning_tokens", "text_tokens")
    expect(all(is_integer(details.get(key)) for key in keys), usage_of(seen.answer))


def details_whole(seen: Exchange) -> None:
    """All details of the contract are integers and no more than the whole that they belong to."""
    usage = usage_of(seen.answer)
    for name, keys, whole in (
        ("prompt_tokens_details", PROMPT_DETAILS, "prompt_tokens"),
        ("completion_tokens_details", COMPLETION_DETAILS, "completion_tokens"),
    ):
        details = usage.get(name) or {}
        for key in keys:
            expect(is_integer(details.get(key)), f"{name}.{key} in {usage}")
            expect(0 <= details[key] <= usage[whole], f"{name}.{key} in {usage}")


def same_text_as(seen: Exchange, changes: dict[str, Any]) -> None:
    other = texts_of(seen.again(changes))
    expect(other == texts_of(seen.answer), f"{texts_of(seen.answer)} against {other}")


def other_text_than(seen: Exchange, changes: dict[str, Any]) -> None:
    expect(texts_of(seen.again(changes)) != texts_of(seen.answer), "the same text")


def same_usage_as(seen: Exchange, changes: dict[str, Any]) -> None:
    one, other = usage_of(seen.again(changes)), usage_of(seen.answer)
    expect(all(one[key] == other[key] for key in USAGE_SUMS), f"{other} against {one}")


def text_starts(seen: Exchange, starts: list[str]) -> None:
    texts = texts_of(seen.answer)
    fits = all(text.startswith(start) for text, start in zip(texts, starts, strict=False))
    expect(len(texts) == len(starts) and fits, [text[:40] for text in texts])


def text_lacks(seen: Exchange, part: str) -> None:
    expect(all(part not in text for text in texts_of(seen.answer)), texts_of(seen.answer))


def text_eq(seen: Exchange, want: str) -> None:
    expect(all(text == want for text in texts_of(seen.answer)), texts_of(seen.answer))


def texts_differ(seen: Exchange) -> None:
    """Not all choices say the same."""
    expect(len(set(texts_of(seen.answer))) > 1, texts_of(seen.answer))


def texts_agree(seen: Exchange) -> None:
    """All choices say the same."""
    expect(len(set(texts_of(seen.answer))) == 1, texts_of(seen.answer))


def not_empty_if_200(seen: Exchange) -> None:
    if seen.answer.status == 200:
        tokens = usage_of(seen.answer)["completion_tokens"]
        expect(tokens > 1 or texts_of(seen.answer)[0], "empty text")


def echo_is_prompt_and_text(seen: Exchange) -> None:
    """With echo each text is the prompt followed by the text without echo."""
    prompts = (
        seen.body["prompt"] if isinstance(seen.body["prompt"], list) else [seen.body["prompt"]]
    )
    plain = texts_of(seen.again({"echo": False}))
    want = [prompt + text for prompt, text in zip(prompts, plain, strict=True)]
    expect(texts_of(seen.answer) == want, f"{texts_of(seen.answer)} against {want}")


def usage_is_sum_of(seen: Exchange, each: list[dict[str, Any]]) -> None:
    parts = [usage_of(seen.again(changes)) for changes in each]
    usage = usage_of(seen.answer)
    for key in ("prompt_tokens", "completion_tokens"):
        expect(usage[key] == sum(part[key] for part in parts), f"{key}: {usage} against {parts}")


def prompt_tokens_eq(seen: Exchange, want: int) -> None:
    expect(usage_of(seen.answer)["prompt_tokens"] == want, usage_of(seen.answer))


def prompt_tokens_gt(seen: Exchange, changes: dict[str, Any]) -> None:
    other = usage_of(seen.again(changes))["prompt_tokens"]
    expect(usage_of(seen.answer)["prompt_tokens"] > other, f"not more than {other}")


def n_usage(seen: Exchange, n: int) -> None:
    """n equal samples: the prompt counted once, each completion counted."""
    one, usage = usage_of(seen.again({"n": 1})), usage_of(seen.answer)
    same_prompt = usage["prompt_tokens"] == one["prompt_tokens"]
    times_n = usage["completion_tokens"] == n * one["completion_tokens"]
    expect(same_prompt and times_n, f"{usage} against n=1 {one}")


def stop_cuts_anywhere(seen: Exchange) -> None:
    """Any part of the free text as stop: cut before it, finish `stop`, in streams as well."""
    free = texts_of(seen.answer)[0]
    expect(len(free) >= 12, f"the free text is too short to cut: {free!r}")
    for start, length in ((3, 1), (5, 2), (4, 5), (len(free) // 2, 4), (1, 9)):
        stop = free[start : start + length]
        answer = seen.again({"stop": ["\x00never", stop]})
        want = free[: free.index(stop)]
        expect(texts_of(answer) == [want], f"stop {stop!r}: {texts_of(answer)} against {want!r}")
        reason = choices_of(answer)[0]["finish_reason"]
        expect(reason == "stop", f"stop {stop!r}: finish {reason}")


def earliest_stop_wins(seen: Exchange) -> None:
    """The stop that comes first in the text cuts, whatever the order of the list."""
    free = texts_of(seen.answer)[0]
    late, early = free[-3:], free[2:5]
    for stops in ([late, early], [early, late]):
        texts = texts_of(seen.again({"stop": stops}))
        expect(texts == [free[: free.index(early)]], f"{stops}: {texts}")


def token_prompt_agrees(seen: Exchange) -> None:
    """The same prompt as text, as its tokens and as an array of them: one text, one count."""
    tokens = seen.endpoint.post(
        "/tokenize", {"model": seen.endpoint.model, "prompt": seen.body["prompt"]}
    ).json["tokens"]
    for prompt in (tokens, [tokens]):
        other = seen.again({"prompt": prompt})
        expect(texts_of(other) == texts_of(seen.answer), f"{prompt}: {texts_of(other)}")
        counts = [usage_of(one)["prompt_tokens"] for one in (other, seen.answer)]
        expect(counts[0] == counts[1] == len(tokens), f"{counts} prompt tokens, {len(tokens)} ids")


def bias_bans_top(seen: Exchange) -> None:
    """logit_bias −100 on the token that was chosen changes the choice."""
    top = texts_of(seen.answer)[0]
    text = seen.body["prompt"] + top
    body = {"model": seen.endpoint.model, "prompt": text, "add_special_tokens": False}
    ids = seen.endpoint.post("/tokenize", body).json["tokens"]
    banned = texts_of(seen.again({"logit_bias": {str(ids[-1]): -100}}))[0]
    expect(banned != top, f"{top!r} in spite of −100")


def bias_forces(seen: Exchange, text: str) -> None:
    """logit_bias +100 on one token makes greedy choose nothing else."""
    body = {"model": seen.endpoint.model, "prompt": text, "add_special_tokens": False}
    ids = seen.endpoint.post("/tokenize", body).json["tokens"]
    expect(len(ids) == 1, f"{text!r} is not one token: {ids}")
    forced = texts_of(seen.again({"logit_bias": {str(ids[0]): 100}}))[0]
    expect(forced == text * seen.body["max_tokens"], repr(forced))


def suffix_not_ignored(seen: Exchange) -> None:
    if seen.answer.status == 200:
        prompt_tokens_gt(seen, {"suffix": None})


def same_as_path(seen: Exchange, path: str) -> None:
    """Another route with the same body answers the same text."""
    body = {**seen.body, "model": seen.endpoint.model}
    other = seen.endpoint.post(path.replace("$MODEL", seen.endpoint.model), body)
    expect(texts_of(other) == texts_of(seen.answer), shown(other))
