"""The tiny model is a real one: llama.cpp loads it, knows its vocabulary, and decodes."""

import contextlib
import pathlib
from collections.abc import Iterator

from baton.engine.llama import Context, Library, Model, load_library
from tests.fakes import tiny_gguf


@contextlib.contextmanager
def loaded(library: Library, path: pathlib.Path) -> Iterator[Model]:
    with contextlib.closing(Model(library, str(path))) as model:
        yield model


def greedy(model: Model, prompt: list[int], count: int) -> list[int]:
    """The `count` most likely ids after `prompt`, one by one."""
    with contextlib.closing(Context(model, 1, 64, 1)) as context:
        ids, step = list(prompt), list(prompt)
        for _ in range(count):
            held = len(ids) - len(step)
            context.tokens[: len(step)] = step
            context.positions[: len(step)] = range(held, len(ids))
            context.outputs[: len(step)] = [0] * (len(step) - 1) + [1]
            context.decode(len(step))
            step = [int(context.logits(1)[0].argmax())]
            ids += step
        return ids[len(prompt) :]


def test_vocabulary_is_the_one_described(tmp_path: pathlib.Path) -> None:
    """Bytes are ids 0..255, pairs merge, special tokens and FIM markers have their ids."""
    library = load_library()
    with loaded(library, tiny_gguf.write(tmp_path / "tiny.gguf")) as model:
        assert tiny_gguf.VOCABULARY_SIZE == model.vocabulary_size
        assert (tiny_gguf.BOS, tiny_gguf.EOS) == (model.bos, model.eos)
        assert [bytes([b]) for b in range(256)] == [model.piece(b, False) for b in range(256)]
        assert list(b"a\xc3\xa9\n") == model.tokenize("aé\n")
        assert 256 in model.tokenize("he")
        assert [tiny_gguf.EOS] == model.tokenize(tiny_gguf.SPECIALS[1])
        assert model.fim is not None
        assert (tiny_gguf.FIM_PRE, tiny_gguf.FIM_SUF, tiny_gguf.FIM_MID) == (
            model.fim.prefix,
            model.fim.suffix,
            model.fim.middle,
        )
        assert 512 == model.context_trained


def test_a_model_without_fim_has_none(tmp_path: pathlib.Path) -> None:
    """fim=False hides the markers by id and by spelling."""
    library = load_library()
    with loaded(library, tiny_gguf.write(tmp_path / "tiny.gguf", fim=False)) as model:
        assert model.fim is None


def test_same_seed_same_text_and_another_seed_another(tmp_path: pathlib.Path) -> None:
    """Decoding is a function of seed and prompt, and does not fall into one token at once."""
    library, prompt, found = load_library(), list(b"def add(a, b):"), []
    for number, seed in enumerate((1, 1, 2)):
        path = tiny_gguf.write(tmp_path / f"{number}.gguf", seed=seed)
        with loaded(library, path) as model:
            found.append(greedy(model, prompt, 24))
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) > 12


def test_one_that_repeats_comes_round(tmp_path: pathlib.Path) -> None:
    """Three tokens in a row come again: that is what drafts are made of."""
    library, again = load_library(), []
    for repeats in (True, False):
        path = tiny_gguf.write(tmp_path / f"{repeats}.gguf", repeats=repeats)
        with loaded(library, path) as model:
            said = greedy(model, list(b"ab"), 60)
        again.append(len(said) - 2 - len(set(zip(said, said[1:], said[2:], strict=False))))
    assert again[0] > 10 > 2 > again[1]
