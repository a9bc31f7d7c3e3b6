"""The guide as a whole: both languages alike, nothing left out, nothing unmarked."""

import inspect
import pathlib
import re

import msgspec
import pytest

from baton import config, errors, explanations
from baton.routing.capabilities import FILLS
from baton.stores import notices
from baton.web.markdown import blocks
from tests.docs.pages import NAMES, ROOT, text

MUST_BE_MARKED = {"sh", "python", "js", "nginx", "haproxy", "yaml", "toml", "json", "ini"}
MARKS = {"run", "check", "shown"}
PAIRS = [("README.md", "README.zh-CN.md")]


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_are_alike(name: str) -> None:
    """The same code, as many headings of each level, as many rows of tables and links."""
    english, chinese = text(name, "en"), text(name, "zh")
    assert blocks_of(english) == blocks_of(chinese)
    assert shape(english) == shape(chinese)
    assert re.search(r"[\u4e00-\u9fff]", chinese.partition("\n")[2]), "there is Chinese in it"
    assert not re.search(r"[\u4e00-\u9fff]", english), "there is none in the English one"


def blocks_of(page: str) -> list[tuple[str, tuple[str, ...], str]]:
    return [(block.language, block.words, block.code) for block in blocks(page)]


def shape(page: str) -> dict[str, list[str]]:
    """What stands outside of code, by kind, in order."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return {
        "headings": re.findall(r"^(#+) ", prose, re.MULTILINE),
        "rows": ["|" for line in prose.splitlines() if line.startswith("|")],
        "links": sorted(re.findall(r"\]\(([^)#]+)", prose)),
        "code": sorted(set(re.findall(r"`([^`\n]+)`", prose)) - {"", " "}),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_block_says_what_is_done_with_it(name: str) -> None:
    """run (an example), check (a configuration) or shown (needs what is not here)."""
    for block in blocks(text(name)):
        wanted = 1 if block.language in MUST_BE_MARKED else 0
        assert len(MARKS & set(block.words)) >= wanted, f"{name}.md:{block.line}"
        assert set(block.words) <= MARKS


@pytest.mark.parametrize("name", NAMES)
def test_no_command_needs_a_data_folder_that_no_page_sets(name: str) -> None:
    """A reader has no BATON_HOME: unset, "$BATON_HOME/baton.toml" would be a file in /."""
    for block in blocks(text(name)):
        assert not re.search(r"\$(BATON_HOME\b|\{BATON_HOME\})", block.code), (
            f"{name}.md:{block.line}"
        )


def test_most_examples_run() -> None:
    """What is only shown installs, starts or stops something that the tests must not."""
    marks = [word for name in NAMES for block in blocks(text(name)) for word in block.words]
    assert marks.count("run") + marks.count("check") > marks.count("shown")


def test_chinese_has_one_word_for_a_thing() -> None:
    """In the guide, on the pages around it, and in the console alike."""
    files = [*(ROOT / "docs/guide/zh").glob("*.md"), ROOT / "README.zh-CN.md"]
    files += [*(ROOT / "baton/web").rglob("*.json"), ROOT / "scripts/reference_zh.json"]
    other = {"词元": "Token", "数据文件夹": "数据目录", "账务读者": "账单查看者", "您": "你"}
    for path in files:
        page = path.read_text(encoding="utf-8")
        assert {} == {word: said for word, said in other.items() if word in page}, path


def test_every_error_is_explained() -> None:
    """Each code in the table of errors stands on the page, and none besides."""
    admin = "".join(map(pathlib.Path.read_text, (ROOT / "baton/web").glob("admin*.py")))
    source = inspect.getsource(errors) + admin + inspect.getsource(explanations)
    codes = set(re.findall(r'code="(\w+)"', source)) | {"insufficient_quota"}
    codes |= set(
        re.findall(r'(?:invalid|RequestError)\([^"]*(?:"[^"]*")?[^"]*"\w+", "(\w+)"\)', source)
    )
    codes |= set(re.findall(r'invalid\(message, \w+, "(\w+)"\)', source))
    codes |= {f"{noun}_{end}" for noun in ("integer", "decimal") for end in BOUNDS}
    shown = {
        code
        for line in text("errors").splitlines()
        if re.match(r"\| \d", line)
        for code in re.findall(r"`([a-z]\w+)`", line.split("|")[2])
    }
    assert set() == codes - shown
    assert all(code in source or code.partition("_")[2] in BOUNDS for code in shown)


BOUNDS = ("below_min_value", "above_max_value")


def test_every_header_is_explained() -> None:
    """What cross-origin pages may read, and what requests may say."""
    from baton.web import cors  # noqa: PLC0415 — its source is the list

    page, source = text("headers"), inspect.getsource(cors)
    told = set(re.findall(r"\b(?:x-[rbs]|retry-|openai-|idempotent-)[a-z-]+", source))
    assert len(told) > 12
    assert set() == {name for name in told if f"`{name}`" not in page}


def test_every_fill_is_explained() -> None:
    """By its name in x-baton-fills."""
    assert [] == [name for name in FILLS if f"| `{name}` |" not in text("fills")]


def test_every_setting_has_its_reason() -> None:
    """Or at least its meaning: a line below it in config.py, which the page shows."""
    page = text("settings")
    rows = {line.split("|")[1].strip(): line.split("|")[4].strip() for line in page.splitlines()
            if line.startswith("| `BATON_")}  # fmt: skip
    names = {f"`BATON_{field.name.upper()}`" for field in msgspec.structs.fields(config.Settings)}
    assert names == set(rows)
    assert [] == [name for name, meaning in rows.items() if not meaning]


def test_variables_in_the_pages_are_settings() -> None:
    """Nobody copies a variable that would be ignored in silence."""
    own = {"BATON_KEY", "BATON_NAME"}
    named = {word for name in NAMES for word in re.findall(r"\bBATON_[A-Z0-9_]+\b", text(name))}
    known = {f"BATON_{field.name.upper()}" for field in msgspec.structs.fields(config.Settings)}
    assert {"BATON_UPSTREAM_KEY"} == named - known - own


def test_variables_of_examples_are_set_up() -> None:
    """By the quick start or on the page itself: nobody's example runs with an empty key. Everybody
    has a home."""
    ready = assigned("quick-start") | {"HOME"}
    for name in NAMES:
        for block in blocks(text(name)):
            if "run" in block.words:
                used = set(re.findall(r"(?:\$\{?|environ\W+|env\.)([A-Z][A-Z0-9_]+)", block.code))
                assert set() == used - ready - assigned(name), f"{name}.md:{block.line}"


def assigned(name: str) -> set[str]:
    code = "\n".join(block.code for block in blocks(text(name)))
    return set(re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]+)=", code))


def test_a_notice_is_shown_as_it_is_posted() -> None:
    """With every field, and none besides."""
    [shown] = [block.code for block in blocks(text("keys")) if block.language == "json"]
    msgspec.json.decode(shown, type=notices.Told)
    assert notices.Told.__struct_fields__ == tuple(msgspec.json.decode(shown))


def test_proxies_are_more_patient_than_baton() -> None:
    """Else a proxy's own 504 comes before Baton's, or instead of an answer."""
    pages = "".join(text(name) for name in ("proxies", "kubernetes"))
    found = re.findall(r"(?:read[-_]timeout|timeout client|timeout server)\W+(\d+)(m|s?)\b", pages)
    waits_s = [int(number) * (60 if unit == "m" else 1) for number, unit in found]
    assert 5 == len(waits_s)
    assert min(waits_s) > config.Settings().request_timeout_s


def test_links_lead_somewhere_in_the_repository() -> None:
    """Files and headings; what begins with /docs is a page of the running server alone."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    pages = {path: without_code(path) for path in files}
    for path, page in pages.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", page):
            if not re.match(r"https?:|/docs/(completions|admin)/", link):
                target, _, anchor = link.partition("#")
                file = (path.parent / target).resolve() if target else path
                assert file.exists(), f"{path}: {link}"
                assert not anchor or anchor in anchors(pages[file]), f"{path}: {link}"


def without_code(path: pathlib.Path) -> str:
    page = path.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_readmes_are_alike(english: str, chinese: str) -> None:
    """Headings, commands, and what is linked to."""
    first, second = ((ROOT / name).read_text(encoding="utf-8") for name in (english, chinese))
    assert blocks_of(first) == blocks_of(second)
    ours, theirs = shape(first), shape(second)
    for kind in ("headings", "rows"):
        assert ours[kind] == theirs[kind], kind
    between = {english, chinese}
    translated = {link.replace("/guide/zh/", "/guide/en/") for link in theirs["links"]}
    assert set(ours["links"]) - between == translated - between
    assert chinese in ours["links"]
    assert english in theirs["links"]
