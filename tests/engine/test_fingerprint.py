"""A fingerprint changes with everything that an exact replay depends on."""

import msgspec

from baton.engine.fingerprint import Identity, fingerprint

IDENTITY = Identity(
    build="b1",
    system="AVX2",
    model_sha256="00",
    threads=1,
    context_tokens_max=2048,
    chunk_tokens=32,
    deterministic=False,
    gpu_layers=0,
)


def test_shape() -> None:
    """Short, and the same every time."""
    assert fingerprint(IDENTITY) == fingerprint(IDENTITY)
    assert ("fp_", 15) == (fingerprint(IDENTITY)[:3], len(fingerprint(IDENTITY)))


def test_every_part_counts() -> None:
    """Another build, file, mode or thread count is another fingerprint."""
    others = [
        msgspec.structs.replace(
            IDENTITY, **{name: not value if name == "deterministic" else value * 2}
        )
        for name, value in msgspec.structs.asdict(IDENTITY).items()
        if value
    ]
    changed = {fingerprint(other) for other in others}
    assert len(others) == len(changed)
    assert fingerprint(IDENTITY) not in changed
    on = msgspec.structs.replace(IDENTITY, deterministic=True, gpu_layers=1)
    assert fingerprint(on) != fingerprint(IDENTITY)
