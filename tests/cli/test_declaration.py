"""A declaration against a store: exactly what differs is changed. Pure."""

import hashlib

import msgspec
import pytest

from baton.cli.declaration import Change, Declaration, Present, changes, parse
from baton.cli.main import CommandError
from baton.stores.base import KeyRecord, PriceRecord, UpstreamRecord

NOW_US = 1_800_000_000_000_000
DIGEST = hashlib.sha256(b"sk-x").digest()
EMPTY = Present(keys=[], upstreams=[], prices=[], now_us=NOW_US)
KEY = f'[[key]]\nname = "alice"\nsha256 = "{DIGEST.hex()}"\n'
UPSTREAM = '[[upstream]]\nname = "gpu"\nurl = "http://h/v1"\nmodels = { a = "b" }\n'
PRICE = '[[price]]\nmodel = "a"\ninput = 0.15\noutput = "0.6"\n'

STORED_KEY = KeyRecord(id="k1", name="alice", digest=DIGEST, head="", tail="", created_us=1)
STORED_UPSTREAM = UpstreamRecord(
    name="gpu", url="http://h/v1", dialect="openai", models={"a": "b"}, created_us=1
)
STORED_PRICE = PriceRecord(
    version=1, model="a", effective_us=5, input_pico=150_000, output_pico=600_000
)
STORED = Present(
    keys=[STORED_KEY], upstreams=[STORED_UPSTREAM], prices=[STORED_PRICE], now_us=NOW_US
)


def with_key(**fields: object) -> Present:
    return msgspec.structs.replace(STORED, keys=[msgspec.structs.replace(STORED_KEY, **fields)])


def test_everything_is_made_in_an_empty_store() -> None:
    """Prices first, then upstreams, then keys: a model can never be asked for before its price is
    known, and a key never works before what it may use."""
    found = changes(parse(KEY + UPSTREAM + PRICE), EMPTY, {})
    assert [("price", "a"), ("upstream", "gpu"), ("key", "alice")] == [
        (change.kind, change.name) for change in found
    ]
    assert {change.action for change in found} == {"create"}
    assert (150_000, 600_000, None, 0) == tuple(
        found[0].fields[name]
        for name in ("input_pico", "output_pico", "cached_input_pico", "effective_us")
    )


def test_what_is_so_already_is_left_alone() -> None:
    """The same file again changes nothing; with prune neither, for all is named."""
    assert [] == changes(parse(KEY + UPSTREAM + PRICE), STORED, {}, prune=True)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("budget_usd = 2.5", "budget_nano", 2_500_000_000),
        ('models = ["a"]', "models", ("a",)),
        ("requests_per_minute = 6", "requests_per_minute", 6),
        ('expires = "2030-01-01"', "expires_us", 1_893_456_000_000_000),
        ("strict = true", "strict", True),
    ],
)
def test_a_key_changes_where_the_file_differs(line: str, field: str, value: object) -> None:
    """Only that field; and without the line it goes back to its default."""
    found = changes(parse(KEY + line), STORED, {})
    assert [Change(kind="key", action="update", name="alice", id="k1", fields={field: value})] == (
        found
    )
    back = changes(parse(KEY), with_key(**{field: value}), {})
    assert [{field}] == [set(change.fields) for change in back]


def test_an_upstream_changes_where_the_file_differs() -> None:
    """Also its key, when the variable holds another one."""
    text = UPSTREAM + 'priority = 3\nkey_env = "K"\n'
    found = changes(parse(text), STORED, {"K": "sk-new"})
    assert [{"priority": 3, "secret": "sk-new"}] == [change.fields for change in found]
    assert "sk-new" not in repr(found)


def test_a_missing_variable_keeps_the_stored_key() -> None:
    """Applying without the secrets at hand changes the rest; a new upstream needs its key."""
    kept = [msgspec.structs.replace(STORED_UPSTREAM, secret="sk-old")]
    text = UPSTREAM + 'key_env = "K"\n'
    assert [] == changes(parse(text), msgspec.structs.replace(STORED, upstreams=kept), {})
    with pytest.raises(CommandError, match="K, which holds its key, is not set"):
        changes(parse(text), EMPTY, {})


def test_prices_follow_dates() -> None:
    """A dated price is set once; an undated one is compared with what holds now."""
    later = PRICE + 'effective = "2030-01-01"\n'
    assert 1 == len(changes(parse(later), STORED, {}))
    dated = msgspec.structs.replace(STORED_PRICE, effective_us=1_893_456_000_000_000, version=2)
    both = msgspec.structs.replace(STORED, prices=[STORED_PRICE, dated])
    assert [] == changes(parse(later), both, {})
    cost = PRICE + 'upstream = "gpu"\n'
    assert ["gpu"] == [change.fields["upstream"] for change in changes(parse(cost), STORED, {})]


def test_prune_removes_what_is_not_named() -> None:
    """Upstreams and users' keys go; admin keys, revoked keys and prices stay."""
    found = changes(Declaration(), STORED, {}, prune=True)
    assert [("delete", "gpu", ""), ("revoke", "alice", "k1")] == [
        (change.action, change.name, change.id) for change in found
    ]
    for fields in ({"role": "admin"}, {"revoked_us": 5}):
        left = changes(Declaration(), with_key(**fields), {}, prune=True)
        assert ["gpu"] == [change.name for change in left]
    assert [] == changes(Declaration(), STORED, {})


def test_what_no_change_can_do_is_refused() -> None:
    """A revoked key does not come back, and a role is for life."""
    with pytest.raises(CommandError, match="never comes back"):
        changes(parse(KEY), with_key(revoked_us=5), {})
    with pytest.raises(CommandError, match="role"):
        changes(parse(KEY + 'role = "admin"\n'), STORED, {})


def test_a_value_that_was_rotated_is_no_new_key() -> None:
    """It would come back with a budget of its own, and `prune` would revoke the one in use."""
    rotated = with_key(digest=b"\x01" * 32, previous_digest=STORED.keys[0].digest)
    with pytest.raises(CommandError, match="rotated"):
        changes(parse(KEY), rotated, {}, prune=True)


@pytest.mark.parametrize(
    "entry", [KEY, UPSTREAM, '[[account]]\nkind = "organisation"\nname = "A"\n']
)
def test_what_stands_twice_is_refused(entry: str) -> None:
    """Also in a dry run, and where the store has it: nothing of such a file is applied."""
    for present in (EMPTY, STORED):
        with pytest.raises(CommandError, match="in the file 2 times"):
            changes(parse(entry + entry), present, {})


def test_numbers_in_overrides_stay_numbers() -> None:
    """Amounts are texts, so that nothing is rounded; what upstreams are sent is not."""
    given = '{ force = { top_p = 0.5, chat_template_kwargs = { a = [1.5, 2, "0.5"], b = true } } }'
    [change] = changes(parse(f"{UPSTREAM}overrides = {given}\n"), EMPTY, {})
    kwargs = {"a": [1.5, 2, "0.5"], "b": True}
    forced = {"top_p": 0.5, "chat_template_kwargs": kwargs}
    assert forced == msgspec.to_builtins(change.fields["overrides"])["force"]


@pytest.mark.parametrize(
    "text",
    [
        "[[key",
        "[[keys]]\n",
        '[[key]]\nname = "a"\n',
        KEY + "color = 1\n",
        '[[price]]\nmodel = "a"\ninput = true\n',
    ],
)
def test_a_wrong_file_is_a_message(text: str) -> None:
    """Unknown names, missing fields and wrong types are found before anything is done."""
    with pytest.raises(CommandError, match=r"team\.toml: "):
        parse(text, "team.toml")


def test_a_wrong_field_names_its_entry() -> None:
    """By its name, or its number where it has none: a file may have thousands."""
    with pytest.raises(CommandError, match="key alice: Object contains unknown field `color`"):
        parse('[[key]]\nname="b"\nsha256=""\n' + KEY + "color = 1\n")
    with pytest.raises(CommandError, match=r"price m: .*`\$\.price\[0\]\.input`"):
        parse('[[price]]\nmodel = "m"\ninput = true\n')
    with pytest.raises(CommandError, match="key 2: Object missing required field `name`"):
        parse('[[key]]\nname="b"\nsha256=""\n[[key]]\n')


def test_wrong_values_are_found_too() -> None:
    """Amounts, times, names and addresses are checked as on the command line."""
    for text in (
        PRICE.replace("0.15", "-1"),
        KEY + 'expires = "soon"\n',
        KEY + 'role = "team_admin"\n',
        UPSTREAM.replace("http://h/v1", "h"),
        UPSTREAM.replace("gpu", "g/p"),
    ):
        with pytest.raises(CommandError):
            changes(parse(text), EMPTY, {})
