"""The binding: what it refuses, what a vocabulary answers, what llama.cpp computes."""

import gc
import pathlib
import threading
import weakref

import numpy as np
import pytest

from baton.engine import abi, llama
from baton.engine.batching import ALONE_CHUNK_TOKENS
from baton.engine.llama import Context, DecodeError, Library, LibraryError, Model
from baton.engine.model_file import LoadError
from baton.engine.pace import TILE_TOKENS
from tests.engine.rig import logits
from tests.fakes import tiny_gguf

TEXT = (
    "Once upon a time, in a small village by the sea, there lived an old woman who repaired nets. "
)


def test_a_cut_file_is_named(library: Library, tmp_path: pathlib.Path) -> None:
    """A download that broke off is refused with what the library says of it."""
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(LoadError, match=r"tiny\.gguf cannot be loaded \(.+\)"):
        Model(library, str(path))


def test_a_library_of_another_build_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moved field shows in the default values, a missing function by name."""
    monkeypatch.setitem(abi.CONTEXT_DEFAULTS, "n_batch", 4096)
    with pytest.raises(LibraryError, match=r"n_batch is 2048, not 4096.*Install xllamacpp=="):
        llama.load_library()
    monkeypatch.setattr(abi, "NEEDED", ("llama_does_not_exist",))
    with pytest.raises(LibraryError, match="no llama_does_not_exist"):
        llama.load_library()


def test_no_library_at_that_path(tmp_path: pathlib.Path) -> None:
    """A wrong path is an error of ours, not of the loader."""
    with pytest.raises(LibraryError, match="cannot load libllama"):
        llama.load_library(str(tmp_path / "libllama.so"))


def test_vocabulary(model: Model) -> None:
    """Facts of the default model that prompts and stops rely on."""
    assert (49152, False, None) == (model.vocabulary_size, model.add_bos, model.fim)
    assert {model.eos} <= model.ends
    assert "<|im_end|>" == model.name(model.eos)
    assert model.eos == model.start
    assert "llama" == model.metadata("general.architecture")
    assert None is model.metadata("no.such.key")
    assert model.cuttable


@pytest.mark.parametrize("text", ["", "Hello world", "世界 🙂 é\n\n\ttab", "a\0b"])
def test_tokens_join_to_the_text(model: Model, text: str) -> None:
    """Tokenising loses nothing, NUL and emoji included."""
    ids = model.tokenize(text)
    assert text.encode() == model.detokenize(ids)
    assert text.encode() == b"".join(model.piece(token, True) for token in ids)


def test_special_tokens_by_wish(model: Model) -> None:
    """Their names become tokens only when asked, and show only when asked."""
    assert [model.eos] == model.tokenize("<|im_end|>")
    assert [model.eos] != model.tokenize("<|im_end|>", parse_special=False)
    assert (b"<|im_end|>", b"") == (model.piece(model.eos, True), model.piece(model.eos, False))


def test_fim_tokens(tiny: Model) -> None:
    """A vocabulary with the markers tells them, and what ends a fill."""
    assert tiny.fim is not None
    markers = (tiny.fim.prefix, tiny.fim.suffix, tiny.fim.middle)
    assert (tiny_gguf.FIM_PRE, tiny_gguf.FIM_SUF, tiny_gguf.FIM_MID) == markers
    assert {*markers, tiny_gguf.FIM_PAD, tiny_gguf.EOS} <= tiny.fim.ends


def test_any_split_computes_the_same(model: Model, plain: Context) -> None:
    """Below the tiled kernel's threshold, how a prompt is split does not change one bit."""
    ids = model.tokenize(TEXT * 5)[:70]
    at_once = logits(plain, ids, 63)
    assert np.array_equal(at_once, logits(plain, ids, 17))
    assert np.array_equal(at_once[-10:], logits(plain, ids, 1)[-10:])


def test_a_large_chunk_says_the_same_in_other_bits(model: Model, plain: Context) -> None:
    """From the tiled kernel's size on the last bits differ: deterministic calls stay below it."""
    ids = model.tokenize(TEXT * 5)[:70]
    small, large = logits(plain, ids, 63), logits(plain, ids, TILE_TOKENS + 6)
    assert float(np.abs(small - large).mean()) < 0.5
    assert np.array_equal(small, logits(plain, ids, ALONE_CHUNK_TOKENS))


def test_copies_and_cuts(tiny: Model) -> None:
    """A copied and cut sequence computes what one that was computed from the start does."""
    context = Context(tiny, 2, 64, threads=1)
    ids = list(range(65, 85))
    wanted = logits(context, ids)[-1]
    logits(context, [*ids[:10], 99, 98, 97])
    context.copy(0, 1, 10)
    context.tokens[:10], context.positions[:10] = ids[10:], np.arange(10, 20)
    context.sequences[:10], context.outputs[:10] = 1, 0
    context.outputs[9] = 1
    context.decode(10)
    assert np.allclose(wanted, context.logits(1)[0], atol=1e-4)
    context.close()


def test_a_sequence_goes_to_another_context_bit_by_bit(tiny: Model) -> None:
    """However many sequences either has, and back; what is no state is refused."""
    many, one = Context(tiny, 3, 64, threads=1), Context(tiny, 1, 64, threads=1)
    ids = list(range(65, 85))
    wanted = logits(one, ids, 10)[-1]
    logits(one, ids[:10])
    assert many.adopt(1, one.export(0))
    assert many.adopt(2, many.export(1))
    one.cut(0, 0)
    assert one.adopt(0, many.export(2))
    for context, sequence in ((many, 1), (many, 2), (one, 0)):
        context.tokens[:10], context.positions[:10] = ids[10:], np.arange(10, 20)
        context.sequences[:10], context.outputs[:10] = sequence, 1
        context.decode(10)
        assert np.array_equal(wanted, context.logits(10)[-1])
    assert not many.adopt(0, one.export(0)[:-8])
    many.close()
    one.close()


def test_abort_breaks_off_a_decode(model: Model, plain: Context) -> None:
    """A long prefill ends soon after `abort`, and the context works on as before."""
    ids = model.tokenize(TEXT * 30)[:400]
    timer = threading.Timer(0.2, plain.abort)
    timer.start()
    with pytest.raises(DecodeError) as caught:
        logits(plain, ids, 400)
    timer.join()
    assert 2 == caught.value.code
    plain.abort(False)
    assert np.array_equal(logits(plain, ids[:20]), logits(plain, ids[:20], 7))


def test_a_decode_that_fails_is_an_error(tiny: Model) -> None:
    """A position out of order is answered by llama.cpp, and raised."""
    context = Context(tiny, 1, 64, threads=1)
    context.tokens[0], context.positions[0], context.outputs[0] = 65, 0, 1
    context.decode(1)
    context.positions[0] = 5
    with pytest.raises(DecodeError):
        context.decode(1)
    context.close()
    context.close()


def test_a_context_that_cannot_be_is_refused(tiny: Model) -> None:
    """The message tells which settings to lower."""
    with pytest.raises(LoadError, match="lower engine_sequences or engine_context_tokens"):
        Context(tiny, 1000, 64, threads=1)


def test_the_log_callback_outlives_its_library() -> None:
    """C code calls back whenever it logs, also after the Python object of the library is gone."""
    opened = llama.load_library()
    callback = weakref.ref(opened._on_log)
    del opened
    gc.collect()
    assert callback() is not None
