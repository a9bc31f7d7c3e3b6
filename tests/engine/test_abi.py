"""The declarations against themselves; test_llama.py holds them against the library."""

import cffi

from baton.engine import abi


def test_sizes() -> None:
    """The structs are as large as the interface has them."""
    ffi = cffi.FFI()
    ffi.cdef(abi.TYPES + abi.FUNCTIONS)
    assert abi.SIZES_BYTES == {name: ffi.sizeof(name) for name in abi.SIZES_BYTES}


def test_offsets() -> None:
    """Fields lie where the commit's headers put them: a slip in order would show here."""
    ffi = cffi.FFI()
    ffi.cdef(abi.TYPES)
    wanted = {
        ("struct llama_model_params", "n_gpu_layers"): 16,
        ("struct llama_model_params", "kv_overrides"): 64,
        ("struct llama_model_params", "vocab_only"): 72,
        ("struct llama_context_params", "n_threads"): 28,
        ("struct llama_context_params", "flash_attn_type"): 52,
        ("struct llama_context_params", "abort_callback"): 120,
        ("struct llama_context_params", "kv_unified"): 141,
        ("llama_batch", "logits"): 48,
    }
    assert wanted == {(name, field): ffi.offsetof(name, field) for name, field in wanted}


def test_every_function_is_checked() -> None:
    """A function that is declared is also looked for at start."""
    parts = [part for part in abi.FUNCTIONS.split(";") if part.strip()]
    assert [part.split("(")[0].split()[-1] for part in parts] == list(abi.NEEDED)


def test_defaults_name_real_fields() -> None:
    """Each default value that is compared belongs to its struct."""
    ffi = cffi.FFI()
    ffi.cdef(abi.TYPES)
    for struct, known in (
        ("struct llama_model_params", abi.MODEL_DEFAULTS),
        ("struct llama_context_params", abi.CONTEXT_DEFAULTS),
    ):
        assert set(known) <= {name for name, _ in ffi.typeof(struct).fields}
