"""`baton apply` on a real store: it becomes what the file says, and then stays."""

import hashlib
import pathlib

import pytest

from baton.cli import apply
from baton.cli.opened import opened
from tests.cli.conftest import Cli

DIGEST = hashlib.sha256(b"sk-some-older-key-0001").hexdigest()
FILE = f"""
[[upstream]]
name = "gpu"
url = "http://10.0.0.5:8000/v1"
dialect = "vllm"
models = {{ small = "Qwen/Qwen3-0.6B" }}
key_env = "GPU_KEY"

[[price]]
model = "small"
input = 0.15
output = 0.6

[[key]]
name = "team-a"
sha256 = "{DIGEST}"
models = ["small"]
budget_usd = 25
"""


@pytest.fixture
def applied(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("GPU_KEY", "sk-provider")
    assert 3 == len(cli.ok("apply", "-", stdin=FILE))
    return cli


def test_store_becomes_what_the_file_says(applied: Cli) -> None:
    """Keys, upstreams with their secret, and prices are there as written."""
    key = applied.ok("key", "show", "team-a")
    assert (DIGEST, ["small"], "25.00") == (key["sha256"], key["models"], key["budget_usd"])
    assert ["0.15"] == [price["input"] for price in applied.ok("price", "list")]
    with opened() as store:
        upstream = store.upstreams.get("gpu", secrets=True)
    assert ("vllm", "sk-provider") == (upstream.dialect, upstream.secret)


def test_again_nothing_changes(applied: Cli) -> None:
    """Applying is idempotent; no line of the change log is added."""
    with opened() as store:
        before = store.changes.latest()
    assert [] == applied.ok("apply", "-", stdin=FILE)
    with opened() as store:
        assert before == store.changes.latest()


def test_differences_are_applied_and_told(applied: Cli) -> None:
    """An update names its fields, never their values."""
    changed = FILE.replace("8000", "9000").replace("= 25", "= 30").replace("0.6\n", "0.7\n")
    out = applied("apply", "-", stdin=changed).out
    assert ["create price small", "update upstream gpu (url)", "3 changes."] == [
        line for line in out.splitlines() if "key" not in line
    ]
    assert "30.00" == applied.ok("key", "show", "team-a")["budget_usd"]
    assert "http://10.0.0.5:9000/v1" == applied.ok("upstream", "show", "gpu")["url"]


def test_dry_run_does_nothing(applied: Cli) -> None:
    """It tells what prune would do, and does not do it."""
    told = applied.ok("apply", "-", "--prune", "--dry-run", stdin="")
    assert [("delete", "gpu"), ("revoke", "team-a")] == [(c["action"], c["name"]) for c in told]
    assert "active" == applied.ok("key", "show", "team-a")["state"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ('[[key]]\nname = "k"\nsha256 = "zz"', "key k: a key is `sk-`"),
        ('[[price]]\nmodel = "x"\nmarkup = "20%"\nmarkup_of = "gpu"', "for 'x' at 'gpu'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_done(
    cli: Cli, dry: tuple[str], entry: str, part: str
) -> None:
    """Also where it comes last."""
    first = '[[account]]\nkind = "organisation"\nname = "first"\n'
    done = cli("apply", "-", *dry, stdin=first + entry)
    assert (1, True) == (done.code, part in done.err), done.err
    assert [] == cli.ok("account", "list")


def test_a_markup_follows_a_cost_of_its_file(cli: Cli) -> None:
    """That stands before it, and holds by then."""
    cost = '[[price]]\nmodel = "x"\nupstream = "gpu"\ninput = 1\n'
    markup = '[[price]]\nmodel = "x"\nmarkup = "20%"\nmarkup_of = "gpu"\n'
    assert 2 == len(cli.ok("apply", "-", stdin=cost + markup))
    assert [] == cli.ok("apply", "-", stdin=cost + markup)
    assert [] == cli.ok("apply", "-", stdin=markup)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_place_that_must_not_be_called_changes_nothing(applied: Cli, dry: tuple[str]) -> None:
    """Also where it stands last, of an upstream that is there or not; a dry run says so, too."""
    file = FILE.replace("budget_usd = 25", "budget_usd = 26").replace("0.6", "0.7")
    added = FILE[: FILE.index("[[price]]")].replace('"gpu"', '"other"')
    before = applied("export").out.splitlines()[1:]  # but for the moment
    for wrong in (file.replace("10.0.0.5", "169.254.169.254"), file + added.replace("10.", "0.")):
        done = applied("apply", "-", *dry, stdin=wrong)
        assert (1, True) == (done.code, "is denied" in done.err), done.err
    assert before == applied("export").out.splitlines()[1:]


def test_prune_removes(applied: Cli) -> None:
    """What the file does not name is gone."""
    applied.ok("apply", "-", "--prune", stdin="")
    assert [] == applied.ok("upstream", "list")
    assert "revoked" == applied.ok("key", "show", "team-a")["state"]


def test_file_that_cannot_be_read_is_a_message(cli: Cli, tmp_path: pathlib.Path) -> None:
    """A missing file changes nothing."""
    done = cli("apply", str(tmp_path / "none.toml"))
    assert (1, True) == (done.code, "none.toml" in done.err)


def test_many_keys_of_accounts_that_are_made_with_them(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one transaction takes; each has its owner. One that stands twice is refused."""
    monkeypatch.setattr(apply, "KEYS_AT_ONCE", 2)
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(5)]
    accounts = '[[account]]\nkind = "organisation"\nname = "A"\n'
    accounts += '[[account]]\nkind = "user"\nname = "u"\nparent = "A"\n'
    keys = [f'[[key]]\nname = "k"\nsha256 = "{each}"\nowner = "A/u"\n' for each in digests]
    assert 7 == len(cli.ok("apply", "-", stdin=accounts + "".join(keys)))
    with opened() as store:
        [user] = store.parties.all("user")
        found = {record.digest.hex(): record.owner for record in store.keys.all()}
    assert dict.fromkeys(digests, user.id) == found
    other = keys[0].replace(digests[0], DIGEST)
    done = cli("apply", "-", stdin=accounts + other + other)
    assert (1, True) == (done.code, "in the file 2 times" in done.err)


def test_a_wrong_field_names_the_file(cli: Cli, tmp_path: pathlib.Path) -> None:
    """And its entry."""
    file = tmp_path / "team.toml"
    file.write_text('[[key]]\nname = "k"\nsha256 = "00"\ncolor = 1\n')
    assert "team.toml: key k: " in cli("apply", str(file)).err
