"""Which files of a repository a name means."""

import pytest

from baton.engine.hub_files import HubFile, choose, quant
from baton.engine.models import NotFetched
from baton.model_names import HubName, parse

USUAL = (
    "README.md",
    "Toy-IQ3_M.gguf",
    "Toy-Q4_K_M.gguf",
    "Toy-Q8_0.gguf",
    "UD/Toy-UD-Q4_K_M.gguf",
    "BF16/Toy-BF16-00001-of-00002.gguf",
    "BF16/Toy-BF16-00002-of-00002.gguf",
    "mmproj-F16.gguf",
    "Toy-imatrix.gguf",
    "../Toy-Q2_K.gguf",
)


def chosen(name: str, *paths: str) -> list[str]:
    parsed = parse(f"hf:me/toy{name}")
    assert isinstance(parsed, HubName)
    return [file.path for file in choose([HubFile(path, 1, "") for path in paths], parsed)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (":Q8_0", ["Toy-Q8_0.gguf"]),
        (":q8_0", ["Toy-Q8_0.gguf"]),
        (":Q4_K_M", ["Toy-Q4_K_M.gguf"]),
        (":UD-Q4_K_M", ["UD/Toy-UD-Q4_K_M.gguf"]),
        (":bf16", [f"BF16/Toy-BF16-0000{part}-of-00002.gguf" for part in (1, 2)]),
        ("", ["Toy-Q4_K_M.gguf"]),
        ("/Toy-IQ3_M.gguf", ["Toy-IQ3_M.gguf"]),
        ("/mmproj-F16.gguf", ["mmproj-F16.gguf"]),
    ],
)
def test_what_a_name_means(name: str, expected: list[str]) -> None:
    """By quant in any case, by path, or as llama.cpp does where neither is given."""
    assert expected == chosen(name, *USUAL)


def test_the_only_model_needs_no_quant() -> None:
    """Whatever it is called; files beside it are none."""
    assert ["sub/weights.gguf"] == chosen("", "sub/weights.gguf", "mtp-x.gguf", "a-mmproj-b.gguf")


def test_quants_with_other_endings() -> None:
    """One that is not at the end, or is none of llama.cpp's, is found by the words of the name."""
    assert ["T-Q5_0-imat.gguf"] == chosen(":Q5_0", "T-Q5_0-imat.gguf", "T-Q6_K-imat.gguf")
    assert ["T-I-Compact.gguf"] == chosen(":I-compact", "T-Compact.gguf", "T-I-Compact.gguf")


@pytest.mark.parametrize(
    ("name", "paths", "said"),
    [
        (":Q2_K", USUAL, "has no Q2_K; it has BF16, IQ3_M, Q4_K_M, Q8_0, UD-Q4_K_M"),
        ("", ("a-Q5_0.gguf", "b.gguf"), r"hf:me/toy:QUANT; it has Q5_0, b\.gguf"),
        (
            ":Q5_0",
            ("a-Q5_0.gguf", "b-Q5_0.gguf"),
            r"more than one model: name the file, hf:me/toy/a-Q5_0\.gguf, hf:me/toy/b-Q5_0\.gguf",
        ),
        ("/c.gguf", ("a.gguf", "b.gguf"), r"has no file c\.gguf; it has a\.gguf, b\.gguf"),
        (":Q4_0", ("README.md",), "has no GGUF file"),
        ("/a.gguf", (), r"no file a\.gguf; it has no GGUF file"),
        ("", ("a-00001-of-00002.gguf",), r"not whole: it has no file a-00002-of-00002\.gguf"),
        ("", [f"m{at}.gguf" for at in range(50)], "and 20 more"),
    ],
)
def test_nothing_is_guessed(name: str, paths: tuple[str, ...], said: str) -> None:
    """What fits none or several is refused, with what there is."""
    with pytest.raises(NotFetched, match=said):
        chosen(name, *paths)


def test_quants_are_read_off_names() -> None:
    """Those that llama.cpp makes."""
    names = ("a-Q4_K_M", "a.q8_0", "a-UD-IQ1_S", "a-TQ1_0", "a-bf16", "a_F32", "a-MXFP4_MOE", "a")
    found = [quant(f"{name}.gguf") for name in names]
    assert ["Q4_K_M", "Q8_0", "UD-IQ1_S", "TQ1_0", "BF16", "F32", "MXFP4_MOE", ""] == found
