"""The sequences' memory: llama.cpp's cells and the record of what they hold, changed together."""

from collections.abc import Iterable, Sequence

from baton.engine.kv_state import Bytes
from baton.engine.llama import Context
from baton.engine.prefix_cache import Ints, PrefixCache


class Memory:
    """Every change of a sequence's content goes through here, so that the record stays exact."""

    def __init__(self, context: Context, keeps: bool) -> None:
        self._context, self._keeps = context, keeps
        """Whether content may be reused: state that cannot be cut cannot be shared."""
        self._cache = PrefixCache(context.sequences_max, context.sequence_tokens_max)
        self.settled = True
        """False from a copy to the next decode: llama.cpp moves the cells only then, so that until
        then nothing may be exported or adopted."""

    @property
    def tokens(self) -> int:
        """How many it holds, over all sequences."""
        return self._cache.total

    def begin(self, sequence: int, prompt: Sequence[int], free: Iterable[int]) -> int:
        """Prepare an id for a prompt; returns how many of its tokens it holds already.

        What lay there before is carried to one of the `free` ids where that is worth it."""
        source, length = self._cache.match(prompt) if self._keeps else (-1, 0)
        kept, places = length if source == sequence else 0, [id for id in free if id != source]
        shelf = self._cache.shelf(sequence, kept, places, prompt)
        if shelf is not None:
            self.copy(sequence, shelf, self._cache.length(sequence))
        if length and source != sequence:
            self._cache.touch(source)
            self.copy(source, sequence, length)
        else:
            self.cut(sequence, length)
        return length

    def copy(self, source: int, target: int, length: int) -> None:
        self.settled = False
        self._context.copy(source, target, length)
        self._cache.copy(source, target, length)

    def cut(self, sequence: int, length: int) -> None:
        self._context.cut(sequence, length)
        self._cache.cut(sequence, length)

    def append(self, sequence: int, tokens: Sequence[int] | Ints) -> None:
        """A step has computed these tokens of the sequence."""
        self._cache.append(sequence, tokens)

    def export(self, sequence: int) -> Bytes | None:
        """What the sequence holds, to be carried to another context; None: nothing."""
        return self._context.export(sequence) if self._cache.length(sequence) else None

    def adopt(self, sequence: int, state: Bytes, tokens: Sequence[int]) -> bool:
        """Take what another context computed of these tokens; where it does not fit the sequence is
        empty."""
        self._cache.cut(sequence, 0)
        if not self._context.adopt(sequence, state):
            self._context.cut(sequence, 0)
            return False
        self._cache.append(sequence, tokens)
        return True

    def retire(self, sequence: int, keep: bool) -> None:
        """The sequence's work is done: its content serves later prompts, or is forgotten."""
        if not (keep and self._keeps):
            self.cut(sequence, 0)
