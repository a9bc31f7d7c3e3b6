"""The headers that Baton adds: only what there is to tell, and never a byte that ends a line."""

from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.headers import VALUE_CHARS_MAX, identity, provenance, value


@given(st.text())
def test_a_value_is_printable_ascii(text: str) -> None:
    """Names of fields and upstreams are chosen by others; a value is safe whatever they are."""
    found = value(text)
    assert len(found) == min(len(text), VALUE_CHARS_MAX)
    assert all(32 <= byte < 127 for byte in found)


def test_printable_text_stays() -> None:
    """What may stand in a header is not changed."""
    assert value("echo,n top_k/5~") == b"echo,n top_k/5~"
    assert value("a\r\nset-cookie: ü") == b"a??set-cookie: ?"


def test_identity() -> None:
    """Whole milliseconds, never below zero."""
    assert identity("cmpl-1", 0.0126) == [
        (b"x-request-id", b"cmpl-1"),
        (b"openai-processing-ms", b"13"),
    ]
    assert identity("cmpl-1", -1.0)[1] == (b"openai-processing-ms", b"0")


def test_provenance_tells_what_there_is() -> None:
    """No header without a value."""
    assert provenance("", (), ()) == []
    assert provenance("embedded", ("echo", "n"), ("top_k",)) == [
        (b"x-baton-upstream", b"embedded"),
        (b"x-baton-fills", b"echo,n"),
        (b"x-baton-ignored", b"top_k"),
    ]
