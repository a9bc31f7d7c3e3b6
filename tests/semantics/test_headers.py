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
    assert value("a" * VALUE_CHARS_MAX + "b") == b"a" * VALUE_CHARS_MAX


def test_identity() -> None:
    """Whole milliseconds, never below zero."""
    assert identity("cmpl-1", 0.0126) == b"x-request-id: cmpl-1\r\nopenai-processing-ms: 12\r\n"
    assert identity("cmpl-1", 1.5).endswith(b"openai-processing-ms: 1500\r\n")
    assert identity("cmpl-1", -1.0).endswith(b"openai-processing-ms: 0\r\n")


def test_provenance_tells_what_there_is() -> None:
    """No header without a value."""
    assert provenance("", (), ()) == b""
    assert provenance("embedded", ("echo", "n"), ("top_k",)) == (
        b"x-baton-upstream: embedded\r\nx-baton-fills: echo,n\r\nx-baton-ignored: top_k\r\n"
    )
