"""Counts and texts from vocabularies, without the models that they belong to."""

import io
import pathlib
import subprocess
import sys

import msgspec
import pytest

from baton.engine.frames import FrameReader
from baton.engine.llama import Library
from baton.engine.model_file import LoadError
from baton.engine.vocabulary import OPEN_MAX, Vocabularies, Vocabulary, serve
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
from tests.fakes import tiny_gguf

ENCODER = msgspec.msgpack.Encoder()
DECODER: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_gguf.write(tmp_path_factory.mktemp("vocabulary") / "tiny.gguf"))


@pytest.fixture(scope="module")
def vocabulary(library: Library, file: str) -> Vocabulary:
    return Vocabulary(library, file)


def test_it_is_the_model_s_own(vocabulary: Vocabulary) -> None:
    """Text and ids are each other's, and a text that goes on begins with no token of its own."""
    ids = vocabulary.tokenize("hello the world", add_special=False)
    assert "hello the world" == vocabulary.text(ids)
    assert len(ids) < len("hello the world")
    assert tiny_gguf.VOCABULARY_SIZE == vocabulary.vocabulary_size


@pytest.mark.parametrize("text", ["hello the world", "déjà vu", "日本語", "", "a" * 50])
def test_a_text_is_measured_by_its_first_tokens(vocabulary: Vocabulary, text: str) -> None:
    """The part that is told is the longest of whole characters in so many tokens, at every cut."""
    ids = vocabulary.tokenize(text, add_special=False)
    for allowed in range(1, len(ids) + 2):
        tokens, characters = vocabulary.measure(text, allowed)
        head = vocabulary.detokenize(ids[:allowed]).decode("utf-8", "ignore")
        assert (len(ids), head) == (tokens, text[:characters])


def test_a_file_that_is_none(library: Library, tmp_path: pathlib.Path) -> None:
    """Is named; nothing else is hurt."""
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(LoadError, match="holds no vocabulary"):
        Vocabulary(library, str(path))
    answers = Vocabularies(lambda name: Vocabulary(library, name))
    unusable = answers.answer(Count(str(tmp_path / "gone.gguf"), ["a"], True))
    assert isinstance(unusable, Unusable)
    assert "does not exist" in unusable.reason


def test_questions_have_answers(library: Library, file: str) -> None:
    """Of each kind, from a file that is opened once."""
    loaded = []

    def load(name: str) -> Vocabulary:
        loaded.append(name)
        return Vocabulary(library, name)

    answers = Vocabularies(load)
    assert Counts([1, 2]) == answers.answer(Count(file, ["a", "ab"], False))
    assert Told("ab") == answers.answer(Tell(file, [97, 98]))
    assert Measured(3, 2) == answers.answer(Measure(file, "abc", 2))
    begun = "<|begin|>a"
    assert Ids([97]) == answers.answer(Split(file, "a", True, True))
    assert Ids([tiny_gguf.BOS, 97]) == answers.answer(Split(file, begun, False, True))
    assert Ids([*begun.encode()]) == answers.answer(Split(file, begun, False, False))
    size = tiny_gguf.VOCABULARY_SIZE
    facts = Facts(size, "llama", "<|begin|>", "<|end|>", 512)
    assert facts == answers.answer(Describe(file))
    assert Unknown(size, size) == answers.answer(Tell(file, [1, size]))
    assert Unknown(-1, size) == answers.answer(Tell(file, [-1]))
    assert [file] == loaded


def test_few_are_open(library: Library, file: str) -> None:
    """The one that was used longest ago is closed for another."""
    loaded = []

    def load(name: str) -> Vocabulary:
        loaded.append(name)
        return Vocabulary(library, file)

    answers = Vocabularies(load)
    for number in (*range(OPEN_MAX), 0, OPEN_MAX, 0, 1):
        assert Counts([1]) == answers.answer(Count(str(number), ["a"], False))
    assert [*map(str, range(OPEN_MAX)), str(OPEN_MAX), "1"] == loaded


def test_served_until_the_questions_end(tmp_path: pathlib.Path) -> None:
    """One answer each, in order, however the questions were cut into pieces."""
    asked = [Tell("f", [n]) for n in range(5)]
    path = tmp_path / "questions"
    path.write_bytes(b"".join(frame(ENCODER, question) for question in asked))

    def answer(question: Question) -> Answer:
        assert isinstance(question, Tell)
        return Told(str(question.ids[0]))

    answers = io.BytesIO()
    with path.open("rb") as questions:
        serve(questions, answers, answer)
    found = [DECODER.decode(body) for body in FrameReader().feed(answers.getvalue())]
    assert [Told(str(n)) for n in range(5)] == found


def test_the_process(file: str) -> None:
    """Ends with its input; nothing but answers is on its output; garbage ends it with a word."""
    command = [sys.executable, "-m", "baton.engine.vocabulary"]
    question = frame(ENCODER, Count(file, ["hello"], False))
    done = subprocess.run(command, input=question, capture_output=True, timeout=30)
    [body] = FrameReader().feed(done.stdout)
    assert (0, Counts([3])) == (done.returncode, DECODER.decode(body))
    done = subprocess.run(command, input=b"\xff" * 9, capture_output=True, timeout=30)
    assert (1, b"") == (done.returncode, done.stdout)
    assert b"baton vocabulary: a frame of" in done.stderr
