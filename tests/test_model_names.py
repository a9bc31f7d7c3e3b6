"""Names of models that are fetched: what is one, what it says, and what is wrong with others."""

import pytest

from baton.model_names import (
    HubName,
    PackageName,
    is_gguf_path,
    misset,
    parse,
    split_part,
    split_paths,
    stem,
)

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected", "public"),
    [
        ("hf:me/Toy-1M-GGUF", HubName(owner="me", repo="Toy-1M-GGUF"), "toy-1m"),
        ("hf:me/Toy:q4_K_M", HubName(owner="me", repo="Toy", quant="q4_K_M"), "toy"),
        ("hf:me/Toy@v1:Q8_0", HubName(owner="me", repo="Toy", revision="v1", quant="Q8_0"), "toy"),
        (
            "hf:me/Toy.2_x/sub dir/Toy-Q8_0.gguf",
            HubName(owner="me", repo="Toy.2_x", path="sub dir/Toy-Q8_0.gguf"),
            "toy-q8_0",
        ),
        (
            "hf:me/Toy@refs/pr/7/Big-00001-of-00003.gguf",
            HubName(owner="me", repo="Toy", revision="refs/pr/7", path="Big-00001-of-00003.gguf"),
            "big",
        ),
        ("package:toy-weights==1.0", PackageName(name="toy-weights", version="1.0"), "toy-weights"),
        (
            "package:Toy.W==1!2.0rc1+cpu/toy/A.GGUF",
            PackageName(name="Toy.W", version="1!2.0rc1+cpu", path="toy/A.GGUF"),
            "a",
        ),
    ],
)
def test_what_a_name_says(text: str, expected: HubName | PackageName, public: str) -> None:
    """All its parts, the public name, and the name again as it was written."""
    found = parse(text)
    assert (expected, public, text) == (found, found.public_name, found.text)
    assert misset(text) is None
    pinned = parse(f"{text}#sha256={DIGEST.upper()}")
    assert (DIGEST, text, public) == (pinned.sha256, pinned.text, pinned.public_name)


def test_the_hubs_own_spelling_is_the_same() -> None:
    """hf:// as its tools write it."""
    assert parse("hf:me/Toy@v1/a.gguf") == parse("hf://me/Toy@v1/a.gguf")


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:toy",
        "hf:/toy",
        "hf:me/",
        "hf:../toy",
        "hf:me/..",
        "hf:me/a..b",
        "hf:me/a--b",
        "hf:me/-a",
        "hf:me/.a",
        "hf:me/tôy",
        "hf:me/" + "a" * 97,
        "hf:me/toy?x=1",
        "hf:me/toy:",
        "hf:me/toy:a b",
        "hf:me/toy:..",
        "hf:me/toy:Q4:Q8",
        "hf:me/toy@",
        "hf:me/toy@a..b",
        "hf:me/toy@-x",
        "hf:me/toy@a/b",
        "hf:me/toy/a.gguf@v1",
        "hf:me/toy/a.bin",
        "hf:me/toy/.gguf",
        "hf:me/toy/../a.gguf",
        "hf:me/toy//a.gguf",
        "hf:me/toy/a\\b.gguf",
        "hf:me/toy/a\x1b.gguf",
        "hf:me/toy/a-00002-of-00003.gguf",
        "hf:me/toy#md5=1",
        "hf:me/toy#sha256=12",
        "hf:https://user:pw-of-mine@hub/me/toy",
        "https://user:pw-of-mine@hub/me/toy",
        "package:",
        "package:toy",
        "package:toy==",
        "package:toy==1.*",
        "package:toy>=1",
        "package:--index-url==1",
        "package:toy==1 --pre",
        "package:toy==1/a.bin",
        "package:toy==1/../a.gguf",
        "package:toy @ file:///etc==1",
    ],
)
def test_what_is_no_name(text: str) -> None:
    """It is refused, with the form that would do, and without a word of what was given."""
    said = misset(text)
    assert said is not None
    assert "write it as" in said or "name the first one" in said
    assert "pw-of-mine" not in said


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("a.gguf", True),
        ("a/b c/ü.GGUF", True),
        ("", False),
        ("a", False),
        (".gguf", False),
        ("/a.gguf", False),
        ("a/./b.gguf", False),
        ("a/../b.gguf", False),
        ("..\\a.gguf", False),
        ("a\n.gguf", False),
        ("\ud800.gguf", False),
        ("a" * 196 + ".gguf", False),
        ("a/" * 600 + "a.gguf", False),
    ],
)
def test_paths_that_a_server_may_name(path: str, good: bool) -> None:
    """Within a folder, printable, and not too long for a file."""
    assert good == is_gguf_path(path)


def test_models_in_parts() -> None:
    """Beginning, number and count; all files of one, and the name without them."""
    first = "sub/Big-Q4_0-00001-of-00002.gguf"
    assert ("sub/Big-Q4_0", 1, 2) == split_part(first)
    assert [first, "sub/Big-Q4_0-00002-of-00002.gguf"] == split_paths(first)
    assert (None, ["a.gguf"]) == (split_part("a.gguf"), split_paths("a.gguf"))
    assert ("Big-Q4_0", "a") == (stem(first), stem("x/a.gguf"))


@pytest.mark.parametrize(
    "numbers", ["00001-of-00000", "00000-of-00002", "00003-of-00002", "٠٠٠٠١-of-٠٠٠٠١"]
)
def test_parts_that_no_model_has(numbers: str) -> None:
    """A file of such a name is a model by itself: none is a model of no files."""
    path = f"a-{numbers}.gguf"
    assert (None, [path]) == (split_part(path), split_paths(path))
