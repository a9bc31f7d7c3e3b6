"""Markdown of the guide: what becomes of it, and what is refused."""

import pytest

from baton.web.guide import PageError
from baton.web.markdown import Labels, Rendered, blocks, placed, render, slug, title_of

LABELS = Labels("Copy", "Copied", "Not copied", "Table", "Link", "https://relay.test/base", None)


def rendered(text: str) -> Rendered:
    return render(f"# Title\n\n{text}", lambda href: f"to:{href}", LABELS)


def test_raw_html_is_text() -> None:
    """A page is written by us, and is inert all the same."""
    html = rendered('<script>alert(1)</script> <b onclick="x">b</b>').html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<b " not in html


def test_code_can_be_copied_and_names_this_server() -> None:
    """Escaped, with its language above it; the example's address is this server's."""
    html = rendered('```sh run\ncurl http://127.0.0.1:8080/v1 -d "<a>"\n```').html
    assert "<figcaption>Shell <button" in html
    assert "curl https://relay.test/base/v1 -d &quot;&lt;a&gt;&quot;" in html
    assert 'data-copy="Copied"' in html


@pytest.mark.parametrize(
    ("path", "operators", "written"),
    [
        ("/v1/models", "http://10.0.0.1:9090", "https://a.test/v1/models"),
        ("/admin/v1/keys", "http://10.0.0.1:9090", "http://10.0.0.1:9090/admin/v1/keys"),
        ("/metrics", "http://10.0.0.1:9090", "http://10.0.0.1:9090/metrics"),
        ("/console", "http://10.0.0.1:9090", "http://10.0.0.1:9090/console"),
        ("/admin/v1/keys", None, "http://127.0.0.1:8080/admin/v1/keys"),
    ],
)
def test_where_an_example_is_sent(path: str, operators: str | None, written: str) -> None:
    """What is for operators goes to their address, and stays an example where that is not told."""
    code = f"curl http://127.0.0.1:8080{path}"
    assert f"curl {written}" == placed(code, "https://a.test", operators)


def test_headings_have_anchors() -> None:
    """Each its own; the title stands in the template, not in the text."""
    page = rendered("## A `b`\n\ntext\n\n## A b\n\n### 限额")
    assert ["title", "a-b", "a-b-1", "限额"] == [one.anchor for one in page.headings]
    assert [1, 2, 2, 3] == [one.level for one in page.headings]
    assert 'id="a-b-1"' in page.html
    assert "Title" not in page.html


def test_passages_are_what_the_search_finds() -> None:
    """Plain text below each heading: prose, code, cells of tables."""
    page = rendered(
        "first *word*\nand [link](x.md)\n\n## Two\n\n```sh\nls -l\n```\n\n|a|\n|---|\n|`c`|"
    )
    assert ["first word and link", "ls -l a c"] == [one.text for one in page.passages]


def test_links_are_asked_for() -> None:
    """Whoever renders decides where they lead."""
    assert '<a href="to:x.md#y">' in rendered("[a](x.md#y)").html


def test_wide_tables_scroll_by_themselves() -> None:
    """Reachable by keyboard, and named."""
    html = rendered("|a|\n|---|\n|b|").html
    assert '<div class="wide" tabindex="0" role="region" aria-label="Table">\n<table>' in html
    assert "</table>\n</div>" in html


@pytest.mark.parametrize("text", ["![a](b.png)", "```cobol\nx\n```"])
def test_what_has_no_place_is_refused(text: str) -> None:
    """Images, and code in a language that nobody named."""
    with pytest.raises(PageError):
        rendered(text)


def test_a_page_begins_with_its_title() -> None:
    """Else it has no name in the menu."""
    assert "A title" == title_of("# A title\n\ntext")
    with pytest.raises(PageError, match="title"):
        title_of("text")


def test_blocks_are_found_with_their_words() -> None:
    """By which the tests know what to do with them."""
    found = blocks("# T\n\n```sh run fast\nls\n```\n\n```\nplain\n```\n")
    assert [("sh", ("run", "fast"), "ls\n", 3), ("", (), "plain\n", 7)] == [
        (block.language, block.words, block.code, block.line) for block in found
    ]


def test_anchors_are_those_of_the_repository_s_view() -> None:
    """Links with an anchor work in both places."""
    assert "openais-libraries" == slug("OpenAI's libraries")
    assert "a-2" == slug("A", ["a", "a-1"])
