"""Where a text has more tokens than were asked for, by a vocabulary that is asked in between.

Theory of operation. A server that overruns max_tokens may send several tokens in one piece, so only
the text tells. `Meter` keeps the generated text of each choice and says when it must be measured:
no token is shorter than a byte, so a text of as many bytes as tokens are allowed cannot overrun,
and after a measurement the next one is due when the bytes since then could. So a text is measured a
few times, not with every piece. What is beyond the allowed tokens is cut in front of the first of
them, whatever piece it came in.

A text may be divided into more tokens than it was generated from. Where a server is trusted to keep
max_tokens, `slack` lets so many pass: text beyond max_tokens is then held back until its choice
ends within the slack, and is shown, or goes beyond it, and is cut.

Invariant: what is shown depends only on the text, not on how it came in pieces.
"""

from baton.semantics.events import Call, Delta, FinishReason


class _Choice:
    """One choice: its text so far, the echo included, and what is known of it."""

    __slots__ = ("echo", "ended", "measured", "shown", "since", "text")

    def __init__(self, echo: int) -> None:
        self.echo, self.text, self.ended = echo, "", False
        self.measured = self.since = self.shown = 0
        """Tokens when it was last measured, bytes that came since then, and code points that were
        shown."""


class Meter:
    """Feed it each delta with `note`; where that gives a text, measure it; then `show` it."""

    def __init__(self, call: Call, tokens_max: int, slack: int) -> None:
        assert tokens_max > 0 <= slack
        self._call, self._slack = call, slack
        self.tokens_max = tokens_max
        """Of a choice."""
        self.total_max = tokens_max * len(call.prompts) * call.n
        """Of all choices together."""
        self.cuts = 0
        """Choices that were cut."""
        self._choices: dict[int, _Choice] = {}
        self._wanted = self._running = len(call.prompts) * call.n

    @property
    def over(self) -> bool:
        """Whether the upstream works for nobody any more."""
        return not self._wanted and self._running > 0

    def note(self, delta: Delta) -> str | None:
        """The generated text of its choice, where that must be measured before this is shown."""
        self._running -= delta.finish_reason is not None
        choice = self._choices.get(delta.index)
        if choice is None:
            choice = self._choices[delta.index] = _Choice(self._echo(delta.index))
        if choice.ended:
            return None
        before = max(len(choice.text), choice.echo)
        choice.text += delta.text
        choice.since += len(choice.text[before:].encode("utf-8", "replace"))
        if choice.measured + choice.since > self.tokens_max:
            return choice.text[choice.echo :]
        return None

    def show(self, delta: Delta, measured: tuple[int, int] | None = None) -> Delta | None:
        """What is seen of the delta, if anything. `measured`: tokens of its choice's text, and code
        points within those that are allowed; None: it was not to be measured, or could not be."""
        choice = self._choices[delta.index]
        if choice.ended:
            return None
        end, reason = len(choice.text), delta.finish_reason
        if measured is not None:
            tokens, characters = measured
            choice.measured, choice.since = tokens, 0
            if tokens > self.tokens_max + self._slack:
                self.cuts += 1
                end, reason = choice.echo + characters, "length"
            elif tokens > self.tokens_max and reason is None:
                end = choice.echo + characters
        return self._shown(choice, delta, max(end, choice.shown), reason)

    def _shown(
        self, choice: _Choice, delta: Delta, end: int, reason: FinishReason | None
    ) -> Delta | None:
        text, choice.shown = choice.text[choice.shown : end], end
        if reason is not None:
            choice.ended = True
            self._wanted -= 1
        if (text, reason) == (delta.text, delta.finish_reason):
            return delta
        return Delta(delta.index, text, reason) if text or reason is not None else None

    def _echo(self, index: int) -> int:
        prompt = self._call.prompts[index // self._call.n]
        return len(prompt) if self._call.echo else 0


class Texts:
    """The generated text of each choice of a call, without its echo."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._parts: dict[int, list[str]] = {}

    def add(self, delta: Delta) -> None:
        if delta.text:
            self._parts.setdefault(delta.index, []).append(delta.text)

    def all(self) -> list[str] | None:
        """Each, in the order of the choices; None where an echo of ids hides where they begin."""
        call = self._call
        echoes = [0] * len(call.prompts)
        if call.echo:
            if not all(isinstance(prompt, str) for prompt in call.prompts):
                return None
            echoes = [len(prompt) for prompt in call.prompts]
        return [
            "".join(self._parts.get(index, ()))[echoes[index // call.n] :]
            for index in range(len(call.prompts) * call.n)
        ]
