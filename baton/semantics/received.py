"""What a running call has given, choice by choice, compact: about a byte a character, four an id.

Theory of operation. Small deltas are kept as they came and put away many at a time, text alone all
at once: of most streams nothing is ever asked for. What an upstream echoes of the prompt is counted
and not kept. Beyond a limit nothing is kept any more, and the call cannot go on elsewhere.
"""

from array import array
from collections.abc import Iterable, Sequence

from baton.semantics.events import Call, Delta, FinishReason, Logprobs

RECEIVED_BYTES_MAX = 1024 * 1024
"""Of one call, text and ids together: a longer answer cannot be handed over. 64 KiB of text is the
whole context of most models; the rest is for many choices."""
FRESH_MAX = 32
"""Deltas of a call that are kept as they came, and"""
SMALL_CHARS = 256
"""the most characters of each: together less than 64 KiB."""


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
        """Tokens whose ids nobody told: one for each delta with text, if nothing tells of more."""
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

    __slots__ = (
        "_bytes",
        "_bytes_max",
        "_call",
        "_choices",
        "_counted",
        "_fresh",
        "_resumable",
        "texts",
    )

    def __init__(self, call: Call, bytes_max: int = RECEIVED_BYTES_MAX) -> None:
        self._call, self._bytes_max, self._bytes = call, bytes_max, 0
        self._choices: dict[int, Kept] = {}
        self._fresh: list[Delta] = []
        """Small deltas as they came: many are put away in the time of a few."""
        self.texts: list[str] = []
        """Deltas of the first choice that are generated text and nothing else, behind all others:
        whoever has them appends them here, which is cheaper than any call. Nothing is echoed."""
        self._counted = 0
        """Of those, the ones that were put away."""
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
        """Keep some deltas."""
        if self.texts:
            self._put_away()
        self._fresh += deltas
        first = deltas[0]
        if (
            len(self._fresh) >= FRESH_MAX
            or first.logprobs is not None
            or len(first.text) > SMALL_CHARS
        ):
            self._put_away()

    def more_came(self, tokens: int) -> None:
        """The upstream told of so many tokens more than it sent pieces. Of several choices nobody
        knows whose they are."""
        kept = self.choices.get(0)
        if self._call.n == len(self._call.prompts) == 1 and kept is not None and kept.untold:
            kept.untold += tokens

    def count_texts(self) -> int:
        """How many were appended to `texts` so far. To be asked every few tens: it puts them
        away."""
        if self.texts:
            self._put_away()
        return self._counted

    def _put_away(self) -> None:
        fresh, self._fresh = self._fresh, []
        texts = self.texts[:]
        self.texts.clear()  # the list itself stays: others append to it
        self._counted += len(texts)
        for delta in fresh:
            if self._resumable:
                self._keep(delta)
        if texts and self._resumable:
            self._keep_texts(texts)

    def _keep_texts(self, texts: Sequence[str]) -> None:
        kept = self._choices.get(0)
        if kept is None:
            kept = self._begin(0)
        data = "".join(texts).encode()
        kept.text += data
        kept.deltas += len(texts)
        kept.untold += len(texts)
        self._bytes += len(data)
        if self._bytes > self._bytes_max:
            self._resumable = False
            self._choices.clear()

    def _keep(self, delta: Delta) -> None:
        """A delta's text and ids, compact."""
        kept = self._choices.get(delta.index)
        if kept is None:
            kept = self._begin(delta.index)
        if delta.logprobs is not None:
            kept.placed(delta.logprobs)
        if delta.finish_reason is not None:
            kept.finish_reason = delta.finish_reason
        text, ids, logprobs = delta.text, delta.token_ids, delta.logprobs
        if kept.echo_left:
            text, ids, logprobs = self._behind_echo(kept, text), None, None
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
            kept.untold += 1 if logprobs is None else _tokens_of(delta, logprobs)
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


def _tokens_of(delta: Delta, logprobs: Logprobs) -> int:
    """Of a delta with text. The last one may have logprobs of the token that ended it, too."""
    return 1 if delta.finish_reason is not None else max(1, len(logprobs.tokens))
