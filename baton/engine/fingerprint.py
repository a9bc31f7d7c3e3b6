"""What an exact replay depends on, as one short string: equal fingerprints compute equal bits."""

import hashlib

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the last bits of a result."""

    build: str
    """Of llama.cpp."""
    system: str
    """Instruction sets that its arithmetic uses."""
    model_sha256: str
    threads: int
    context_tokens_max: int
    chunk_tokens: int
    """Split of prompts in deterministic mode."""
    deterministic: bool
    """Whether every call is computed in that mode."""
    gpu_layers: int


def fingerprint(identity: Identity) -> str:
    """`fp_` and twelve hexadecimal digits."""
    return "fp_" + hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:12]
