"""llama.cpp through the C interface that the `xllamacpp` wheel exports: the only file that knows
cffi.

`load_library` opens the shared object and compares it with `abi.py` before anything is used.
`Model` is the file and its vocabulary, `Context` the memory of its sequences and one step of
arithmetic. Nothing here knows requests. Every call releases the interpreter lock; one thread at a
time may use a `Context`, while a `Model`'s vocabulary may be read from any thread.

Sequences do not share cells (`kv_unified=false`): each owns an equal part of the context, so a
neighbour's length costs it nothing, a copy moves a whole sequence, and what the copy must not have
is cut off afterwards."""

import ctypes
import dataclasses
import importlib
import importlib.metadata
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from cffi import FFI

from baton.engine import abi
from baton.engine.kv_state import Bytes, moved
from baton.engine.model_file import LoadError, check_file
from baton.errors import BatonError

BATCH_TOKENS_MAX = 512
CPU_CHUNK_TOKENS_MAX = 256
"""Tokens of one sequence computed at once on a CPU: more gain nothing there, and take memory for
their intermediate results."""

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class LibraryError(BatonError):
    """The library cannot be used; the message says why and what would help."""


class DecodeError(Exception):
    """llama_decode did not compute the batch (`code` is its answer)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"llama_decode answered {code}")
        self.code = code


class Library:
    """An opened and checked libllama."""

    # What C code holds pointers to, for the life of the process: it logs also while it frees.
    _called_back: ClassVar[list[Any]] = []

    def __init__(self, ffi: Any, lib: Any, build: str) -> None:
        self.ffi, self.lib, self.build = ffi, lib, build
        self._log: list[str] = []
        self._on_log = ffi.callback("ggml_log_callback", self._logged)
        self._called_back.append(self._on_log)
        lib.llama_log_set(self._on_log, ffi.NULL)
        lib.llama_backend_init()

    def _logged(self, level: int, text: Any, _: Any) -> None:
        """Keep the last warnings and errors: they say why a file would not load."""
        if level in (3, 4, 5):
            line = self.ffi.string(text).decode("utf-8", "replace").strip()
            self._log = [*self._log[-7:], line] if line else self._log

    @property
    def system(self) -> str:
        """Which instruction sets the arithmetic uses: they change the last bits of results."""
        return str(self.ffi.string(self.lib.llama_print_system_info()).decode())

    def complaints(self) -> str:
        """What the library logged lately, forgotten after reading."""
        lines, self._log = self._log, []
        return "; ".join(lines)


def load_library(path: str = "") -> Library:
    """Open the wheel's own library, or the libllama at `path` built from the same commit.

    The OpenMP runtime comes in with it: set OMP_* variables before. Raises LibraryError."""
    build = abi.BUILD if not path else pathlib.Path(path).name
    ffi = FFI()
    ffi.cdef(abi.TYPES + abi.FUNCTIONS)
    try:
        lib = ffi.dlopen(path or _packaged_library())
    except OSError as error:
        hint = "apt-get install libgomp1" if "libgomp" in str(error) else "check the file"
        raise LibraryError(f"cannot load libllama ({error}); {hint}") from None
    faults = _mismatches(ffi, lib)
    if faults:
        raise LibraryError(
            f"{path or abi.PACKAGE} is not the libllama that Baton was written for ({abi.BUILD}): "
            f"{'; '.join(faults)}. Install {abi.PACKAGE}=={abi.PACKAGE_VERSION}"
        )
    return Library(ffi, lib, build)


def _packaged_library() -> str:
    """Where the wheel keeps its extension module, which exports the C interface."""
    remedy = f"pip install {abi.PACKAGE}=={abi.PACKAGE_VERSION}"
    try:
        version = importlib.metadata.version(abi.PACKAGE)
        # Initialised first: dlopen then gives the same handle.
        package = importlib.import_module(abi.PACKAGE)
    except ImportError as error:
        hint = "apt-get install libgomp1" if "libgomp" in str(error) else remedy
        raise LibraryError(f"cannot import {abi.PACKAGE} ({error}); {hint}") from None
    if version != abi.PACKAGE_VERSION:
        raise LibraryError(f"{abi.PACKAGE} {version} is installed; {remedy}")
    folder = pathlib.Path(str(package.__file__)).parent
    kinds = (".so", ".pyd", ".dylib")
    found = sorted(p for p in folder.glob(f"{abi.PACKAGE}.*") if p.suffix in kinds)
    if not found:
        raise LibraryError(f"no shared library in {folder}; {remedy}")
    return str(found[0])


def _mismatches(ffi: Any, lib: Any) -> list[str]:
    """What differs between the declarations and the library; empty when it can be trusted."""
    faults = [f"no {name}" for name in abi.NEEDED if not hasattr(lib, name)]
    faults += [
        f"{name} has {ffi.sizeof(name)} bytes, not {size}"
        for name, size in abi.SIZES_BYTES.items()
        if ffi.sizeof(name) != size
    ]
    if faults:
        return faults
    defaults = (
        (lib.llama_model_default_params(), abi.MODEL_DEFAULTS),
        (lib.llama_context_default_params(), abi.CONTEXT_DEFAULTS),
    )
    return [
        f"{name} is {getattr(params, name)}, not {value}"
        for params, known in defaults
        for name, value in known.items()
        if getattr(params, name) != value
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Fim:
    """Ids of the fill-in-the-middle markers, and of tokens that end what is filled in."""

    prefix: int
    suffix: int
    middle: int
    ends: frozenset[int]


class Model:
    """A GGUF file in memory, and its vocabulary."""

    def __init__(self, library: Library, path: str, gpu_layers: int = 0) -> None:
        self.library, self.path, self.gpu_layers = library, path, gpu_layers
        self._ffi, self._lib = library.ffi, library.lib
        check_file(path)
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        library.complaints()
        self.handle = self._lib.llama_model_load_from_file(path.encode(), params)
        if self.handle == self._ffi.NULL:
            raise LoadError(
                f"{path} cannot be loaded ({library.complaints()}). It may be incomplete or of a "
                f"kind that llama.cpp {library.build} does not know: delete it and fetch it again, "
                "or choose another."
            )
        if self._lib.llama_model_has_encoder(self.handle) or not self._lib.llama_model_has_decoder(
            self.handle
        ):
            self.close()
            raise LoadError(
                f"{path} does not generate text from a prompt alone: choose another model."
            )
        self._vocabulary = self._lib.llama_model_get_vocab(self.handle)
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self._read_vocabulary()

    def _read_vocabulary(self) -> None:
        lib, vocabulary = self._lib, self._vocabulary
        self.vocabulary_size = int(lib.llama_vocab_n_tokens(vocabulary))
        self.bos, self.eos = (
            int(lib.llama_vocab_bos(vocabulary)),
            int(lib.llama_vocab_eos(vocabulary)),
        )
        self.add_bos = bool(lib.llama_vocab_get_add_bos(vocabulary))
        self.ends = frozenset(
            token
            for token in range(self.vocabulary_size)
            if lib.llama_vocab_is_eog(vocabulary, token)
        )
        self.context_trained = int(lib.llama_model_n_ctx_train(self.handle))
        self.cuttable = not (
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )
        """Whether a sequence's tail can be cut off: recurrent state cannot go back."""
        self.fim = self._read_fim()

    def _read_fim(self) -> Fim | None:
        names = ("pre", "suf", "mid", "pad", "rep", "sep")
        ids = [int(getattr(self._lib, f"llama_vocab_fim_{n}")(self._vocabulary)) for n in names]
        if min(ids[:3]) < 0:
            return None
        return Fim(ids[0], ids[1], ids[2], frozenset(i for i in ids if i >= 0) | self.ends)

    @property
    def start(self) -> int | None:
        """What an empty prompt begins with: BOS, else the document separator."""
        return (
            next((token for token in (self.bos, self.eos) if token >= 0), None)
            if self.add_bos
            else (next((token for token in (self.eos, self.bos) if token >= 0), None))
        )

    def metadata(self, key: str) -> str | None:
        """A value of the file's header as text, or None."""
        buffer = self._ffi.new("char[]", 512)
        length = self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, 512)
        return None if length < 0 else str(self._ffi.string(buffer).decode("utf-8", "replace"))

    def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Ids of `text`; with `add_special` also BOS and such where the vocabulary adds them."""
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 8
        ids = self._ffi.new("llama_token[]", room)
        count = self._lib.llama_tokenize(
            self._vocabulary, data, len(data), ids, room, add_special, parse_special
        )
        assert count >= 0, "a text has no more tokens than bytes, but for a few special ones"
        return list(self._ffi.unpack(ids, count)) if count else []

    def piece(self, token: int, special: bool) -> bytes:
        """The bytes of one token; of a special one its name if `special`, else nothing."""
        found = self._pieces.get((token, special))
        if found is None:
            found = self._pieces[(token, special)] = self._piece(token, special)
        return found

    def _piece(self, token: int, special: bool, room: int = 64) -> bytes:
        buffer = self._ffi.new("char[]", room)
        length = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, special)
        if length < 0:
            return self._piece(token, special, -length)
        return bytes(self._ffi.buffer(buffer, length))

    def name(self, token: int) -> str | None:
        """How a special token is written; None where the vocabulary has none."""
        return None if token < 0 else self.piece(token, True).decode("utf-8", "replace")

    def detokenize(self, ids: Sequence[int]) -> bytes:
        """The text of a whole sequence, special tokens by name, without an added leading space."""
        source = self._ffi.new("llama_token[]", list(ids))
        room = 16 * len(ids) + 64
        while True:
            buffer = self._ffi.new("char[]", room)
            length = self._lib.llama_detokenize(
                self._vocabulary, source, len(ids), buffer, room, False, True
            )
            if length >= 0:
                return bytes(self._ffi.buffer(buffer, length))
            room = -length

    def close(self) -> None:
        if self.handle != self._ffi.NULL:
            self._lib.llama_model_free(self.handle)
            self.handle = self._ffi.NULL


class Context:
    """The sequences of a model, and the batch that the next `decode` computes.

    Fill `tokens`, `positions`, `sequences` and `outputs` (1: logits of this token are wanted) up to
    some length, in ascending order of sequence, then `decode(length)`."""

    def __init__(
        self, model: Model, sequences: int, sequence_tokens_max: int, threads: int
    ) -> None:
        self._ffi, self._lib, self._model = model.library.ffi, model.library.lib, model
        params = self._lib.llama_context_default_params()
        params.n_ctx = sequences * sequence_tokens_max
        self.batch_tokens_max = min(
            sequences * sequence_tokens_max, max(BATCH_TOKENS_MAX, sequences)
        )
        params.n_batch = self.batch_tokens_max
        self.chunk_tokens_max = BATCH_TOKENS_MAX if model.gpu_layers else CPU_CHUNK_TOKENS_MAX
        params.n_ubatch = min(params.n_batch, max(self.chunk_tokens_max, sequences))
        params.n_seq_max = sequences
        self.threads = params.n_threads = params.n_threads_batch = threads
        self.computing = threads
        self._abort = ctypes.create_string_buffer(2)
        self.handle = self._lib.llama_init_from_model(model.handle, params)
        if self.handle == self._ffi.NULL:
            raise LoadError(
                f"no context of {sequences} × {sequence_tokens_max} tokens for {model.path} "
                f"({model.library.complaints()}): lower engine_sequences or engine_context_tokens"
            )
        self.sequence_tokens_max = int(self._lib.llama_n_ctx_seq(self.handle))
        self.sequences_max, self._memory = sequences, self._lib.llama_get_memory(self.handle)
        self._make_batch(self.batch_tokens_max)
        self._make_abort()

    def _make_batch(self, room: int) -> None:
        """llama_batch over arrays of our own: filling it is slice assignment."""
        self.tokens: Ints = np.zeros(room, np.int32)
        self.positions: Ints = np.zeros(room, np.int32)
        self.sequences: Ints = np.zeros(room, np.int32)
        self.outputs: npt.NDArray[np.int8] = np.zeros(room, np.int8)
        self._counts: Ints = np.ones(room, np.int32)

        def pointer(array: npt.NDArray[Any], kind: str) -> Any:
            return self._ffi.cast(kind, array.ctypes.data)

        first = pointer(self.sequences, "llama_seq_id *")
        self._sequence_pointers = self._ffi.new(
            "llama_seq_id *[]", [first + i for i in range(room)]
        )
        batch = self._batch = self._ffi.new("llama_batch *")
        batch.token = pointer(self.tokens, "llama_token *")
        batch.pos = pointer(self.positions, "llama_pos *")
        batch.n_seq_id = pointer(self._counts, "int32_t *")
        batch.seq_id, batch.embd = self._sequence_pointers, self._ffi.NULL
        batch.logits = pointer(self.outputs, "int8_t *")

    def _make_abort(self) -> None:
        """Let `abort` break off a decode at its next operation.

        The library asks a C function hundreds of times a step, from its own thread: one in Python
        would wait for the interpreter lock each time. `strlen` answers from a two-byte string
        without it: false while that is empty, true as soon as its first byte is set."""
        strlen: Any = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p)
        function = self._ffi.cast("ggml_abort_callback", strlen.value)
        flag = self._ffi.cast("void *", ctypes.addressof(self._abort))
        self._lib.llama_set_abort_callback(self.handle, function, flag)

    def abort(self, wanted: bool = True) -> None:
        """Break off the decode that runs in another thread (it raises DecodeError 2); False: do
        not."""
        self._abort[0] = b"\x01" if wanted else b"\x00"

    def use(self, threads: int) -> None:
        """Have so many of its threads compute from the next decode on."""
        if threads != self.computing:
            self._lib.llama_set_n_threads(self.handle, threads, threads)
            self.computing = threads

    def decode(self, length: int) -> None:
        """Compute the first `length` places of the batch. Raises DecodeError."""
        assert 0 < length <= self.batch_tokens_max
        self._batch.n_tokens = length
        code = self._lib.llama_decode(self.handle, self._batch[0])
        if code == 0:
            self._lib.llama_synchronize(self.handle)
            return
        raise DecodeError(int(code))

    def logits(self, rows: int) -> Floats:
        """The last decode's raw logits, one row per wanted output in batch order.

        A view of the library's memory: valid until the next decode."""
        if not rows:
            return np.zeros((0, self._model.vocabulary_size), np.float32)
        size = rows * self._model.vocabulary_size * 4
        buffer = self._ffi.buffer(self._lib.llama_get_logits(self.handle), size)
        return np.frombuffer(buffer, np.float32).reshape(rows, self._model.vocabulary_size)

    def cut(self, sequence: int, length: int) -> bool:
        """Forget what a sequence holds from `length` on; False where the model cannot go back."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Give `target` the first `length` tokens of `source`, in place of what it held."""
        self.cut(target, 0)
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.cut(target, length)

    def export(self, sequence: int) -> Bytes:
        """What a sequence holds, for `adopt` of any context of the same model and threads."""
        state: Bytes = np.empty(self._lib.llama_state_seq_get_size(self.handle, sequence), np.uint8)
        place = self._ffi.cast("uint8_t *", state.ctypes.data)
        self._lib.llama_state_seq_get_data(self.handle, place, state.size, sequence)
        return moved(state, sequence, self.sequences_max, 1)

    def adopt(self, sequence: int, state: Bytes) -> bool:
        """Take an exported state in place of what a sequence held; False where it does not fit:
        then the sequence may hold anything."""
        state = moved(state, 0, 1, self.sequences_max)
        place = self._ffi.cast("uint8_t *", state.ctypes.data)
        code = self._lib.llama_state_seq_set_data(self.handle, place, state.size, sequence)
        return bool(code)

    def close(self) -> None:
        if self.handle != self._ffi.NULL:
            self._lib.llama_free(self.handle)
            self.handle = self._ffi.NULL
