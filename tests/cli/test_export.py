"""`baton export`: what it writes, `apply` brings about; no secret is in it."""

import pathlib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.cli.declaration import Declaration, KeyEntry, UpstreamEntry, parse
from baton.cli.export import as_toml, in_force, variables
from baton.cli.price_entries import PriceEntry
from baton.stores.base import PriceRecord
from tests.cli.conftest import Cli

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
SHA = st.binary(min_size=32, max_size=32).map(bytes.hex)
KEYS = st.builds(
    KeyEntry,
    name=TEXT,
    sha256=SHA,
    models=st.lists(TEXT, max_size=3),
    default_model=st.none() | TEXT,
    requests_per_minute=st.none() | st.integers(1, 1000),
    budget_usd=st.none() | st.just("2.50"),
    strict=st.booleans(),
    keep_content_days=st.integers(0, 90),
)
UPSTREAMS = st.builds(
    UpstreamEntry,
    name=TEXT,
    url=TEXT,
    models=st.dictionaries(TEXT, TEXT, max_size=3),
    stall_timeout_s=st.none() | st.floats(0.5, 100, allow_nan=False),
    fields=st.lists(TEXT, max_size=2),
    continuation=st.dictionaries(TEXT, st.sampled_from(["instruct", "prefill"]), max_size=2),
    fim=st.dictionaries(TEXT, st.sampled_from(["qwen", "codellama"]), max_size=2),
    vocabularies=st.dictionaries(TEXT, st.just("qwen.gguf"), max_size=2),
)
PRICES = st.builds(PriceEntry, model=TEXT, input=st.just("0.15"), upstream=st.none() | TEXT)


@given(
    st.builds(Declaration, key=st.lists(KEYS), upstream=st.lists(UPSTREAMS), price=st.lists(PRICES))
)
def test_toml_reads_back(declaration: Declaration) -> None:
    """Whatever stands in a declaration, its text means the same."""
    written = as_toml(declaration)
    assert declaration == parse(written)
    assert all(map(str.isprintable, written.splitlines())), "what it says is seen"


def test_another_store_becomes_the_same(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported here and applied there, both export the same; secrets come from the environment."""
    cli("key", "create", "alice", "--budget", "3", "--expires", "30d", "--model", "small")
    cli("key", "create", "gone")
    cli("key", "revoke", "gone")
    words = ["--url", "http://h/v1", "--model", "small=big", "--key", "sk-provider"]
    cli("upstream", "add", "gpu-1", *words, "--field", "top_k")
    chat = ["--url", "http://c/v1", "--model", "chat=theirs", "--dialect", "openai-chat"]
    cli("upstream", "add", "chat-1", *chat, "--continuation", "theirs=prefix")
    cli("price", "set", "small", "--input", "1")
    cli("price", "set", "small", "--input", "2", "--from", "2030-01-01")
    exported = cli("export").out
    assert "sk-provider" not in exported
    assert "gone" not in exported
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "there"))
    monkeypatch.setenv("BATON_UPSTREAM_GPU_1_KEY", "sk-provider")
    assert 5 == len(cli.ok("apply", "-", stdin=exported))
    assert tomllib.loads(exported) == tomllib.loads(cli("export").out)
    assert [] == cli.ok("apply", "-", stdin=exported)


def test_prices_in_force_are_now_and_later() -> None:
    """Of each model and upstream the last of the past, and all that are to come."""
    dates = [(1, "a", None, 10), (2, "a", None, 20), (3, "a", None, 90), (4, "a", "u", 5)]
    records = [
        PriceRecord(version=v, model=m, upstream=u, effective_us=at) for v, m, u, at in dates
    ]
    assert [2, 3, 4] == sorted(price.version for price in in_force(records, 50))


def test_prices_that_follow_a_cost_come_behind_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Also where another price was in their place before the cost was known: what is exported can
    be applied and imported elsewhere, and is exported there in the same order."""
    cli("price", "set", "m", "--input", "1")
    cli("price", "set", "n", "--input", "1")
    cli("price", "set", "m", "--input", "3", "--upstream", "u")
    cli("price", "set", "m", "--markup", "20%@u")
    exported, prices = cli("export").out, cli("price", "export").out
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "there"))
    assert 3 == len(cli.ok("apply", "-", stdin=exported))
    assert exported.splitlines()[1:] == cli("export").out.splitlines()[1:]
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "and there"))
    assert 3 == len(cli.ok("price", "import", "-", stdin=prices))


def test_a_null_among_overrides(cli: Cli) -> None:
    """TOML has none: what is exported means it all the same."""
    words = ["--url", "http://h/v1", "--model", "m", "--dialect", "vllm"]
    cli.ok("upstream", "add", "gpu", *words, "--force", 'think={"a": [null, 0.5, "x"]}')
    exported = cli("export").out
    assert [] == cli.ok("apply", "-", stdin=exported)
    other = exported.replace("null", "true")
    assert [["overrides"]] == [each["fields"] for each in cli.ok("apply", "-", stdin=other)]
    wrong = exported.replace("[null", "[nil")
    assert "upstream gpu: overrides are no JSON" in cli("apply", "-", stdin=wrong).err


def test_variables_are_legal_names_of_one_upstream_each() -> None:
    """Any upstream name gives a name that a shell can set; none would get the key of another."""
    assert {
        "gpu-1.b": "BATON_UPSTREAM_GPU_1_B",
        "gpu.1-b": "BATON_UPSTREAM_GPU_1_B_2",
        "模型": "BATON_UPSTREAM___",
        "语言": "BATON_UPSTREAM____2",
    } == variables(["gpu-1.b", "gpu.1-b", "模型", "语言"])


def test_upstreams_of_like_names_have_keys_of_their_own(cli: Cli) -> None:
    """Where one variable was both's, the key of one would go to the other's server."""
    words = ["--url", "http://h/v1", "--model", "m", "--key", "sk-provider"]
    for name in ("a-b", "a_b"):
        cli("upstream", "add", name, *words)
    found = [each["key_env"] for each in cli.ok("export")["upstream"]]
    assert ["BATON_UPSTREAM_A_B_KEY", "BATON_UPSTREAM_A_B_2_KEY"] == found
