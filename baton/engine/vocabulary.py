"""`python -m baton.engine.vocabulary`: token counts and texts from the vocabularies of GGUF files.

Reads questions on its standard input and answers on its standard output (`vocabulary_wire.py`);
ends when the input does, so it never outlives the worker that started it. Only the vocabulary of a
file is loaded, never its weights: a few megabytes and some tenths of a second, whatever the model.

It is a process of its own so that a worker never loads llama.cpp, and so that a file or a text that
breaks it breaks nothing else.
"""

import itertools
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from baton.engine.frames import FrameError, FrameReader
from baton.engine.llama import Library, Model, load_library
from baton.engine.model_file import LoadError, check_file
from baton.engine.text import split_tail
from baton.engine.vocabulary_wire import (
    Answer,
    Count,
    Counts,
    Describe,
    Facts,
    Ids,
    Measure,
    Measured,
    Question,
    Split,
    Tell,
    Told,
    Unknown,
    Unusable,
    frame,
)
from baton.errors import BatonError

OPEN_MAX = 8
"""Vocabularies in memory at once: a large one is about 50 MB."""
READ_BYTES = 256 * 1024


class Vocabulary(Model):
    """The vocabulary of a GGUF file, without the weights."""

    def __init__(self, library: Library, path: str) -> None:
        self.library, self.path, self.gpu_layers = library, path, 0
        self._ffi, self._lib = library.ffi, library.lib
        check_file(path)
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers, params.vocab_only = 0, True
        library.complaints()
        self.handle = self._lib.llama_model_load_from_file(path.encode(), params)
        if self.handle == self._ffi.NULL:
            raise LoadError(f"{path} holds no vocabulary that is known ({library.complaints()})")
        self._vocabulary = self._lib.llama_model_get_vocab(self.handle)
        self._pieces = {}
        self._read_vocabulary()

    def text(self, ids: list[int]) -> str:
        """Of ids of this vocabulary; bytes that are no characters become U+FFFD."""
        return self.detokenize(ids).decode("utf-8", "replace")

    def measure(self, text: str, tokens_max: int) -> tuple[int, int]:
        """Tokens of a text that goes on with another, and the code points that are whole within the
        first `tokens_max` of them."""
        ids = self.tokenize(text, add_special=False, parse_special=False)
        if len(ids) <= tokens_max:
            return len(ids), len(text)
        head, _ = split_tail(self.detokenize(ids[:tokens_max]))
        common = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(head, text, strict=False))
        return len(ids), sum(1 for _ in common)

    def facts(self) -> Facts:
        architecture = self.metadata("general.architecture") or ""
        context = self.metadata(f"{architecture}.context_length") or "0"
        return Facts(
            self.vocabulary_size,
            architecture,
            self.name(self.bos),
            self.name(self.eos),
            int(context) if context.isdecimal() else 0,
        )


class Vocabularies:
    """Answers questions from files that it opens as they are asked for, and forgets the oldest."""

    def __init__(self, load: Callable[[str], Vocabulary]) -> None:
        self._load = load
        self._open: OrderedDict[str, Vocabulary] = OrderedDict()

    def answer(self, question: Question) -> Answer:
        try:
            vocabulary = self._of(question.file)
        except BatonError as error:
            return Unusable(str(error))
        match question:
            case Count(_, texts, start):
                return Counts([len(vocabulary.tokenize(text, add_special=start)) for text in texts])
            case Tell(_, ids):
                size = vocabulary.vocabulary_size
                wrong = next((token for token in ids if not 0 <= token < size), None)
                return Told(vocabulary.text(ids)) if wrong is None else Unknown(wrong, size)
            case Measure(_, text, tokens_max):
                return Measured(*vocabulary.measure(text, tokens_max))
            case Split(_, text, start, special):
                ids = vocabulary.tokenize(text, add_special=start, parse_special=special)
                return Ids(ids)
            case Describe():
                return vocabulary.facts()

    def _of(self, file: str) -> Vocabulary:
        found = self._open.get(file)
        if found is None:
            while len(self._open) >= OPEN_MAX:
                self._open.popitem(last=False)[1].close()
            found = self._open[file] = self._load(file)
        self._open.move_to_end(file)
        return found


def serve(questions: BinaryIO, answers: BinaryIO, answer: Callable[[Question], Answer]) -> None:
    """Answer until the questions end. Raises FrameError where they are none."""
    encoder = msgspec.msgpack.Encoder()
    decoder: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
    for body in _bodies(questions):
        answers.write(frame(encoder, answer(decoder.decode(body))))
        answers.flush()


def _bodies(questions: BinaryIO) -> Iterator[bytes]:
    reader = FrameReader()
    while data := os.read(questions.fileno(), READ_BYTES):
        yield from reader.feed(data)


def main() -> int:
    """The process; its exit code."""
    # Whatever the library prints goes to the log, not among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        library = load_library()
        vocabularies = Vocabularies(lambda file: Vocabulary(library, file))
        serve(sys.stdin.buffer, answers, vocabularies.answer)
    except (BatonError, FrameError, msgspec.DecodeError) as error:
        print(f"baton vocabulary: {error}", file=sys.stderr)
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # whoever asked is gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
