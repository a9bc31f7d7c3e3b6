"""What a running call has received so far, and what is left of it: all that another upstream needs.

Theory of operation. A completion may be resumed anywhere between two tokens: the prompt with what
was generated is a valid prompt again. What counts is what was *received*, whole deltas only: text
that the lost upstream held back (half a character, a possible stop) is lost with it and generated
anew. Each choice is resumed by a call of its own, for the choices of a call stand at different
places; choices that have their finish_reason need none.

`Received` is kept while a call runs. `Remainder` says what is left of it: calls (`Rest`), and the
ends of choices that have all their tokens. `NotResumable` says why a call cannot go on elsewhere:
whatever an upstream keeps outside the text (the counts behind a penalty, the state of a grammar,
the sum behind a score) would begin anew in mid-answer without a word. What nothing was received of
is simply asked again.
"""

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Prompt
from baton.semantics.parts import seed_behind, seed_of

RECEIVED_BYTES_MAX = 1024 * 1024
"""Of one call, text and ids together: a longer answer cannot be handed over. 64 KiB of text is the
whole context of most models; the rest is for many choices."""
FRESH_MAX = 32
"""Deltas of a call that are kept as they came, and"""
SMALL_CHARS = 256
"""the most characters of each: together less than 64 KiB."""

STATELESS = frozenset(
    {
        *("model", "prompts", "max_tokens", "n", "suffix", "temperature", "top_p", "logit_bias"),
        *("stop", "logprobs", "echo", "seed", "user", "stream", "deterministic", "parse_special"),
        *("tenant", "extra"),
    }
)
"""Fields of a call that mean the same of its rest. Any other one, set, lets nothing be resumed."""
STATELESS_EXTRA = frozenset(
    {
        *("top_k", "min_p", "typical_p", "xtc_probability", "xtc_threshold", "ignore_eos"),
        *("skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens"),
        *("stop_token_ids", "allowed_token_ids", "priority", "cache_prompt"),
    }
)
"""Likewise of `Call.extra`: what looks at one token alone. A grammar, for one, does not."""
_STATEFUL = tuple(
    (field.name, field.default)
    for field in msgspec.structs.fields(Call)
    if field.name not in STATELESS
)


class NotResumable(Exception):
    """Another upstream cannot go on from what was received; the message says why."""


class Kept:
    """What came of one choice. Text is generated text only; an echoed prompt is counted."""

    __slots__ = (
        "deltas",
        "echo_left",
        "echoed",
        "finish_reason",
        "first_offset",
        "ids",
        "synced",
        "text",
        "untold",
    )

    def __init__(self, echo_left: int) -> None:
        self.text, self.ids = bytearray(), array("i")
        self.synced = 0
        """Ids up to the last delta with text: what lies behind them may be held back."""
        self.untold = 0
        """Deltas with text whose ids nobody told: a token each."""
        self.deltas = 0
        """Deltas with text."""
        self.echo_left = echo_left
        """Characters of the prompt's echo that are still to come; of ids -1 until it came."""
        self.echoed = 0
        """Characters of echo that came."""
        self.first_offset: int | None = None
        """The first text_offset that came."""
        self.finish_reason: FinishReason | None = None

    def placed(self, logprobs: Logprobs) -> None:
        """Where the upstream counts from."""
        if self.first_offset is None and logprobs.text_offset:
            self.first_offset = logprobs.text_offset[0]

    @property
    def tokens(self) -> int:
        """Generated tokens so far."""
        return len(self.ids) + self.untold

    @property
    def begun(self) -> bool:
        """Whether anything was generated that can be seen."""
        return bool(self.deltas)

    def carried(self, stops: Iterable[str] | None) -> int:
        """Tokens that its text stands for. Where there are stops, text may lag behind ids by all
        but one character of the longest."""
        held = max(map(len, stops or ()), default=1) - 1
        return max(self.synced + self.untold - held, self.deltas)


class Received:
    """Everything a call has given, by choice; compact: about a byte a character, four an id."""

    __slots__ = ("_bytes", "_bytes_max", "_call", "_choices", "_fresh", "_resumable")

    def __init__(self, call: Call, bytes_max: int = RECEIVED_BYTES_MAX) -> None:
        self._call, self._bytes_max, self._bytes = call, bytes_max, 0
        self._choices: dict[int, Kept] = {}
        self._fresh: list[Delta] = []
        """Small deltas as they came: many are put away in the time of a few."""
        self._resumable = True

    @property
    def choices(self) -> dict[int, Kept]:
        """By index; empty once there is too much."""
        self._put_away()
        return self._choices

    @property
    def resumable(self) -> bool:
        """False once more came than is kept; then nothing is kept any more."""
        self._put_away()
        return self._resumable

    def add(self, deltas: Sequence[Delta]) -> None:
        """Keep some deltas. Once a read of every stream."""
        self._fresh += deltas
        first = deltas[0]
        if (
            len(self._fresh) >= FRESH_MAX
            or first.logprobs is not None
            or len(first.text) > SMALL_CHARS
        ):
            self._put_away()

    def add_one(self, delta: Delta) -> None:
        """Keep one delta."""
        fresh = self._fresh
        fresh.append(delta)
        if len(fresh) >= FRESH_MAX or delta.logprobs is not None or len(delta.text) > SMALL_CHARS:
            self._put_away()

    def _put_away(self) -> None:
        fresh, self._fresh = self._fresh, []
        if self._resumable and not self._keep_texts(fresh):
            for delta in fresh:
                self._keep(delta)

    def _keep_texts(self, deltas: Sequence[Delta]) -> bool:
        """Keep deltas of one choice that are nothing but generated text, all at once; False where
        there is more to some of them."""
        kept = self._choices.get(0)
        if kept is None or kept.echo_left:
            return False
        if not all(
            [delta.text and delta.token_ids is None and not delta.index for delta in deltas]
        ):
            return False
        if any([delta.finish_reason or delta.logprobs for delta in deltas]):
            return False
        data = "".join([delta.text for delta in deltas]).encode()
        kept.text += data
        kept.deltas += len(deltas)
        kept.untold += len(deltas)
        self._bytes += len(data)
        if self._bytes > self._bytes_max:
            self._resumable = False
            self._choices.clear()
        return True

    def _keep(self, delta: Delta) -> None:
        """A delta's text and ids, compact."""
        kept = self._choices.get(delta.index)
        if kept is None:
            kept = self._begin(delta.index)
        if delta.logprobs is not None:
            kept.placed(delta.logprobs)
        if delta.finish_reason is not None:
            kept.finish_reason = delta.finish_reason
        text, ids = delta.text, delta.token_ids
        if kept.echo_left:
            text, ids = self._behind_echo(kept, text), None
        size = self._bytes
        if text:
            data = text.encode()
            kept.text += data
            kept.deltas += 1
            size += len(data)
        if ids is not None:
            kept.ids.extend(ids)
            size += 4 * len(ids)
            if text:
                kept.synced = len(kept.ids)
        elif text:
            kept.untold += 1
        self._bytes = size
        if size > self._bytes_max:
            self._resumable = False
            self._choices.clear()

    def text(self, index: int) -> str:
        """The generated text of a choice; only while `resumable`."""
        assert self.resumable, "what came is no longer kept"
        kept = self.choices.get(index)
        return "" if kept is None else kept.text.decode()

    def token_ids(self, index: int) -> list[int]:
        """All ids of a choice, where the upstream tells them; only while `resumable`."""
        assert self.resumable, "what came is no longer kept"
        kept = self.choices.get(index)
        return [] if kept is None else kept.ids.tolist()

    def _begin(self, index: int) -> Kept:
        call, echo_left = self._call, 0
        if call.echo:
            prompt = call.prompts[index // call.n]
            echo_left = len(prompt) if isinstance(prompt, str) else -1
        kept = Kept(echo_left)
        if self._resumable:
            self._choices[index] = kept
        return kept

    def _behind_echo(self, kept: Kept, text: str) -> str:
        """What a delta has beyond the prompt, which comes back alone or with the first tokens.

        The echo of ids comes in one delta. Ids that come with an echo may be the prompt's too: they
        are not kept."""
        if kept.echo_left < 0:
            kept.echo_left, kept.echoed = 0, len(text)
            return ""
        came = min(kept.echo_left, len(text))
        kept.echo_left -= came
        kept.echoed += came
        return text[came:]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to be asked for one choice (or, with `whole`, for all of them)."""

    call: Call
    """In the terms of whoever takes over; its model is still that of the lost call."""
    index: int = 0
    """Of the choice, as the caller's call counts."""
    whole: bool = False
    """The very call again: its indexes, offsets and usage are the caller's as they are."""
    lead: str = ""
    """The rest of an echo, for an upstream that is not asked for it."""
    tail: str = ""
    """The end of what was generated: a stop may begin in it."""
    offset: int | None = None
    """The text_offset of the next token; None: as the upstream counts."""
    carried: int = 0
    """Generated tokens that are part of the prompt now."""
    finished: frozenset[int] = frozenset()
    """With `whole`: choices of which nothing more is to come."""


class Remainder(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a call at one moment."""

    rests: list[Rest]
    silent: list[Rest] = []
    """One token more of each prompt whose length nobody else tells."""
    ends: list[Delta] = []
    """Of choices that have all their tokens, but were not told so."""
    finished_tokens: int = 0
    """Generated by the choices that need no further call."""
    estimated: bool = False
    """Whether `finished_tokens` is a guess: the token that ended a choice was not told."""


def again(call: Call) -> Remainder:
    """Nothing came: the very call, once more."""
    return Remainder(rests=[Rest(call=call, whole=True)])


def replayed(call: Call, received: Received) -> Remainder:
    """All of it once more, by an upstream that is told what came and goes on behind it."""
    finished = [i for i, kept in received.choices.items() if kept.finish_reason is not None]
    return Remainder(rests=[Rest(call=call, whole=True, finished=frozenset(finished))])


def untouched(received: Received) -> bool:
    """Whether nothing came at all."""
    return received.resumable and not received.choices


def remainder(call: Call, received: Received, counted: bool) -> Remainder:
    """What is left, choice by choice. Raises NotResumable.

    `counted`: the tokens of the prompts are known; otherwise a prompt of which every choice is
    whole is asked for once more, for one token that nobody will see.
    """
    if not received.resumable:
        raise NotResumable("more came than is kept")
    rests, ends, tokens, estimated = [], list[Delta](), 0, False
    for index in range(len(call.prompts) * call.n):
        kept = received.choices.get(index)
        if kept is None:
            rests.append(_unbegun(call, index))
        elif kept.finish_reason is not None:
            tokens += _ended(call, kept)
            estimated |= kept.finish_reason != "length" and bool(kept.untold)
        elif _spent(call, kept):
            tokens += call.max_tokens
            ends.append(Delta(index, "", "length"))
        else:
            rests.append(_resumed(call, index, kept))
    return Remainder(
        rests=rests,
        silent=[] if counted else _counting(call, rests),
        ends=ends,
        finished_tokens=tokens,
        estimated=estimated,
    )


def _ended(call: Call, kept: Kept) -> int:
    """Tokens of a whole choice. Where ids are not told, the one that ended it is not among them."""
    if kept.ids and not kept.untold:
        return kept.tokens
    return call.max_tokens if kept.finish_reason == "length" else kept.tokens + 1


def _spent(call: Call, kept: Kept) -> bool:
    """Whether all its tokens (and its whole echo) came."""
    return not kept.echo_left and kept.carried(call.stop) >= call.max_tokens


def _one(call: Call, index: int, prompt: Prompt, **fields: object) -> Call:
    """A call for one choice. Samples of one seed differ by their number, as servers count them."""
    seed = None if call.seed is None else seed_of(call.seed, index % call.n)
    return msgspec.structs.replace(call, prompts=[prompt], n=1, seed=seed, **fields)


def _unbegun(call: Call, index: int) -> Rest:
    """A choice of which nothing came. Its echo is ours, unless it has logprobs."""
    prompt, echo = call.prompts[index // call.n], call.echo
    if not echo or call.logprobs is not None or not isinstance(prompt, str):
        return Rest(call=_one(call, index, prompt), index=index)
    return Rest(call=_one(call, index, prompt, echo=False), index=index, lead=prompt)


def _resumed(call: Call, index: int, kept: Kept) -> Rest:
    """A choice in the middle."""
    prompt = call.prompts[index // call.n]
    if kept.echo_left:
        return _rest_of_echo(call, index, prompt, kept)
    came = kept.echoed + len(kept.text.decode())
    offset = None if kept.first_offset is None else kept.first_offset + came
    if not kept.begun:
        return Rest(call=_one(call, index, prompt, echo=False), index=index, offset=offset)
    for name in _state(call):
        raise NotResumable(f"'{name}' counts from the first token on")
    text, carried = kept.text.decode(), kept.carried(call.stop)
    so_far = _extended(prompt, text, kept, call.stop)
    rest = _one(call, index, so_far, echo=False, max_tokens=call.max_tokens - carried)
    if rest.seed is not None:
        rest = msgspec.structs.replace(rest, seed=seed_behind(rest.seed, carried))
    longest = max(map(len, call.stop or ()), default=0)
    return Rest(
        call=rest,
        index=index,
        tail=text[-longest:] if longest else "",
        offset=offset,
        carried=carried,
    )


def _state(call: Call) -> list[str]:
    """What is set of the fields that mean something else in the middle of an answer."""
    found = [name for name, default in _STATEFUL if getattr(call, name) != default]
    return found + sorted((call.extra or {}).keys() - STATELESS_EXTRA)


def _rest_of_echo(call: Call, index: int, prompt: Prompt, kept: Kept) -> Rest:
    """The echo itself was cut: ours is as good, but for the logprobs in it."""
    if call.logprobs is not None or not isinstance(prompt, str):
        raise NotResumable("an echo with logprobs broke off")
    lead = prompt[kept.echoed :]
    return Rest(call=_one(call, index, prompt, echo=False), index=index, lead=lead)


def _extended(prompt: Prompt, text: str, kept: Kept, stops: list[str] | None) -> Prompt:
    """The prompt and what was generated: text to text, ids to ids.

    Ids are taken up to the last one whose text came; behind a stop that may be held back nobody
    can tell which one that is.
    """
    if isinstance(prompt, str):
        return prompt + text
    if kept.untold:
        raise NotResumable("a prompt of ids goes on with ids, and they were not told")
    if stops:
        raise NotResumable("a prompt of ids with stops: text and ids do not end together")
    return prompt + kept.ids[: kept.synced].tolist()


def _counting(call: Call, rests: list[Rest]) -> list[Rest]:
    """One token more of each prompt that no further call tells the length of."""
    told = {rest.index // call.n for rest in rests}
    silent = [prompt for prompt in range(len(call.prompts)) if prompt not in told]
    fields = {"echo": False, "logprobs": None, "max_tokens": 1, "stream": False, "stop": None}
    return [
        Rest(
            call=_one(call, prompt * call.n, call.prompts[prompt], **fields),
            index=prompt * call.n,
        )
        for prompt in silent
    ]
