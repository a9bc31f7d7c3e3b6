"""A hub of models: what is asked of it, who is told what, and what is taken of its answers.

The hub is a server on loopback that speaks the Hugging Face Hub's format (fakes/fake_hub.py)."""

import json
import pathlib
import shutil
from http.server import BaseHTTPRequestHandler

import pytest

from baton.engine import hub as hubs
from baton.engine.models import NotFetched
from baton.model_names import HubName
from tests.engine.hubs import FILES, Q8, hub, place, resolve, told
from tests.fakes.fake_hub import OTHER_TOKEN, TOKEN, Asked, Repository, digest

NAME = "hf:me/Toy-GGUF:Q8_0"


def test_what_is_asked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of files, then the file by its commit; without a token, nothing of one."""
    with hub(monkeypatch) as served:
        found = resolve(tmp_path, NAME)
        commit = served.repositories["me/Toy-GGUF"].commit
        expected = [
            ("GET", "/api/models/me/Toy-GGUF?blobs=true", None),
            ("GET", f"/me/Toy-GGUF/resolve/{commit}/sub/Toy-Q8_0.gguf", None),
        ]
        assert expected == served.asked
        assert [(f"/blobs/{digest(Q8)}", None)] == served.cdn.asked
    assert Q8 == found.path.read_bytes()


@pytest.mark.parametrize("gated", [False, True])
def test_the_token_goes_to_the_hub_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, gated: bool
) -> None:
    """With each request to it, and with none to where the bytes lie; it opens what is gated."""
    with hub(monkeypatch, gated=gated) as served:
        monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
        resolve(tmp_path, NAME)
        assert [f"Bearer {TOKEN}"] * 2 == [asked.authorization for asked in served.asked]
        assert [None] == [headers.get("Authorization") for headers in served.cdn.headers]


def test_a_renamed_repository(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub leads to its new name, token and all; the public name stays the one that is set."""
    with hub(monkeypatch, gated=True) as served:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        served.renamed["old/Name-GGUF"] = "me/Toy-GGUF"
        found = resolve(tmp_path, "hf:old/Name-GGUF:Q8_0")
    assert ("name", Q8) == (found.public_name, found.path.read_bytes())


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        (NAME, "", "me/Toy-GGUF is gated, and HF_TOKEN is not set: accept its terms at http"),
        (NAME, OTHER_TOKEN, "is gated, and the account of HF_TOKEN may not read it yet"),
        ("hf:me/nothing", "", "shows no me/nothing (401): check how it is written"),
        ("hf:me/nothing", TOKEN, "shows no me/nothing (404): check how it is written"),
        ("hf:me/private", "", "where it is private, HF_TOKEN is not set"),
        (
            "hf:me/private",
            OTHER_TOKEN,
            "is private, the account of HF_TOKEN may not see it",
        ),
        (NAME, "hf_revoked", "does not know HF_TOKEN (401): set a valid one, or none"),
        ("hf:me/Toy-GGUF@v9", TOKEN, "me/Toy-GGUF has no revision v9"),
        ("hf:me/Toy-GGUF:Q2_K", TOKEN, "has no Q2_K; it has Q4_K_M, Q8_0"),
    ],
)
def test_whose_matter_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, token: str, said: str
) -> None:
    """What the hub refuses is told with what to do, never with the token."""
    with hub(monkeypatch, gated=True) as served:
        served.repositories["me/private"] = Repository({"a.gguf": b"GGUF"}, private=True)
        monkeypatch.setenv("HF_TOKEN", token)
        text = told(tmp_path, name)
    assert said in text
    assert f"BATON_MODEL={name} could not be fetched" in text
    assert "BATON_MODEL=/path/to/model.gguf" in text


def test_the_token_of_the_hubs_own_client(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is sent as HF_TOKEN is; where it is not valid its file is told."""
    with hub(monkeypatch, gated=True):
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        monkeypatch.setenv("HF_TOKEN_PATH", str(file))
        assert Q8 == resolve(tmp_path, NAME).path.read_bytes()
        file.write_text("hf_revoked")
        text = told(tmp_path, "hf:me/Toy-GGUF:Q4_K_M")
    assert f"does not know the token in {file} (401): set a valid one, or none" in text


def test_a_hub_that_is_not_reached(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked three times; the address that was asked, and what can be set, are told."""
    with hub(monkeypatch) as served:
        gone = served.url
    text = told(tmp_path, NAME)
    assert f"{gone} cannot be reached ([Errno 111] Connection refused)" in text
    assert "HTTPS_PROXY" in text
    assert "HF_ENDPOINT" in text


def test_an_endpoint_that_can_be_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the resolver finds wrong is told likewise."""
    with hub(monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "https://a..b")
        assert "cannot be reached (there is no such address)" in told(tmp_path, NAME)


def test_a_hub_that_leads_nowhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once: it would lead there again."""
    with hub(monkeypatch) as served:

        def answer(request: BaseHTTPRequestHandler) -> None:
            served.asked.append(Asked(request.command, request.path, None))
            request.send_response(302)
            request.send_header("Location", "http://127.0.0.1:no/")
            request.send_header("Content-Length", "0")
            request.end_headers()

        monkeypatch.setattr(served, "answer", answer)
        assert "cannot be reached (there is no such address)" in told(tmp_path, NAME)
        assert 1 == len(served.asked)


@pytest.mark.parametrize(
    ("answers", "asked", "said"),
    [
        ([(500, b""), (503, b"")], 4, None),
        ([(500, b"")] * 3, 3, "answered 500: try again later"),
        ([(429, b"")], 1, "asked too often from here (429): try again later, or set HF_TOKEN"),
        ([(403, b"")], 1, "answered 403"),
        ([(200, b"<html>")], 1, "answers otherwise than the hub does"),
        ([(200, b'{"sha": 1}')], 1, "answers otherwise than the hub does"),
        ([(200, b'{"sha": "../..", "siblings": []}')], 1, "does not tell the commit"),
        ([(200, b'{"siblings": []}')], 1, "does not tell the commit"),
        ([(200, b" " * 2000)], 1, "answers more than 1000 bytes"),
        ([(200, b'{"siblings": [{"rfilename": "a", "size": %d}]}' % 10**400)], 1, "answers other"),
    ],
)
def test_answers_that_are_none(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, bytes]],
    asked: int,
    said: str | None,
) -> None:
    """What may pass is asked again; an answer is read up to its limit, and decoded by type."""
    monkeypatch.setattr(hubs, "ANSWER_BYTES_MAX", 1000)
    with hub(monkeypatch) as served:
        served.answers = list(answers)
        text = told(tmp_path, NAME) if said else str(resolve(tmp_path, NAME))
        assert asked == len(served.asked)
    assert (said or "Toy-Q8_0.gguf") in text


@pytest.mark.parametrize("body", [b'{"tags": ' + b"[" * 1_000_000, b'{"sha": "\xff", "id": 1}'])
def test_an_answer_that_no_reader_takes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Lists within lists without end, bytes that are no text: no answer of a hub's."""
    with hub(monkeypatch) as served:
        served.answers = [(200, body)]
        assert "answers otherwise than the hub does" in told(tmp_path, NAME)


def test_what_a_hub_says_is_shown_on_a_terminal(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without control characters, and not for pages."""
    with hub(monkeypatch) as served:

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"\x1b[2Jno HTTP" + b"!" * 5000 + b"\r\n\r\n")

        monkeypatch.setattr(served, "answer", answer)
        text = told(tmp_path, NAME)
    assert "cannot be reached ([2Jno HTTP!!!" in text
    assert (True, True) == (text.isprintable(), len(text) < 1000)


@pytest.mark.parametrize(
    "path", ["../../../../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "..\\x.gguf", "x\x1b[2J.gguf"]
)
def test_a_path_leads_nowhere_else(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Whatever the hub lists: such a file is none, and is not shown."""
    with hub(monkeypatch, {path: Q8, "b.gguf": Q8, "c.gguf": Q8}):
        assert "it has b.gguf, c.gguf" in told(tmp_path, "hf:me/Toy-GGUF")
    with hub(monkeypatch, {path: Q8}):
        assert "has no GGUF file" in told(tmp_path, "hf:me/Toy-GGUF")
    assert [] == list(tmp_path.rglob("*.gguf*"))


def test_a_folder_has_the_name_of_its_content(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest that is none is not a folder's name either."""
    sibling = {"rfilename": "a.gguf", "size": 4, "lfs": {"sha256": "../../..", "size": 4}}
    listed = json.dumps({"sha": "ab" * 20, "siblings": [sibling]}).encode()
    with hub(monkeypatch) as served:
        served.answers = [(200, listed), (200, b"GGUF")]
        assert "tells no SHA-256 of a.gguf" in told(tmp_path, "hf:me/Toy-GGUF")


def test_a_mirror_that_lists_no_digests(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub sends it along with the file: it is asked for that, and not for the bytes."""
    with hub(monkeypatch) as served:
        served.without_digests = True
        found = resolve(tmp_path, NAME)
        assert ["GET", "HEAD", "GET"] == [asked.method for asked in served.asked]
        assert 1 == len(served.cdn.asked)
    assert (digest(Q8), Q8) == (found.sha256, found.path.read_bytes())


def test_a_file_without_a_digest_is_pinned_or_not_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hub tells none, the name must."""
    sibling = {"rfilename": "a.gguf", "size": len(Q8)}
    listed = json.dumps({"sha": "ab" * 20, "siblings": [sibling]}).encode()
    with hub(monkeypatch) as served:
        served.answers = [(200, listed), (200, b"")]
        assert "write it behind the name, as #sha256=" in told(tmp_path, "hf:me/Toy-GGUF")
        served.answers = [(200, listed), (200, b""), (200, Q8)]
        found = resolve(tmp_path, f"hf:me/Toy-GGUF#sha256={digest(Q8)}")
    assert Q8 == found.path.read_bytes()


def test_a_cut_download_goes_on(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Range, at the address to which the hub leads each time; the whole is checked."""
    with hub(monkeypatch) as served:
        served.cdn.faults = [1000, 2000]
        found = resolve(tmp_path, NAME)
        assert [None, "bytes=1000-", "bytes=3000-"] == [span for _, span in served.cdn.asked]
        assert 4 == len(served.asked)
    assert Q8 == found.path.read_bytes()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GGUF" + b"9" * (len(Q8) - 4), "has the SHA-256"),
        (Q8 + b"more", f"bytes instead of {len(Q8)}"),
        (b"GGUF", f"has 4 bytes instead of {len(Q8)}"),
    ],
)
def test_other_bytes_are_not_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sent: bytes, said: str
) -> None:
    """Than those that the hub listed."""
    with hub(monkeypatch) as served:
        served.cdn.files[f"/blobs/{digest(Q8)}"] = sent
        assert said in told(tmp_path, NAME)
    assert not place(tmp_path, NAME).fetched
    assert [] == list(tmp_path.rglob("*.gguf"))


def test_a_model_that_does_not_fit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the disk has free is not begun: how much is missing is told."""
    size = shutil.disk_usage(tmp_path).free + 2**40
    lfs = {"sha256": digest(Q8), "size": size}
    listed = {"sha": "ab" * 20, "siblings": [{"rfilename": "a.gguf", "lfs": lfs}]}
    with hub(monkeypatch) as served:
        served.answers = [(200, json.dumps(listed).encode())]
        text = told(tmp_path, "hf:me/Toy-GGUF")
        assert 1 == len(served.asked)
    assert f"hf:me/Toy-GGUF needs {size / 2**20:.0f} MiB more" in text
    assert [] == list(tmp_path.rglob("*.partial"))


def test_nobody_is_asked_offline(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE: what is in the cache serves, all else is told."""
    with hub(monkeypatch) as served:
        resolve(tmp_path, NAME)
        asked = len(served.asked)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        resolve(tmp_path, NAME)
        assert "HF_HUB_OFFLINE forbids to ask the hub" in told(tmp_path, "hf:me/Toy-GGUF:Q4_K_M")
        assert asked == len(served.asked)


def test_where_the_hub_is() -> None:
    """The Hugging Face Hub, unless a variable names another; an empty one is as none."""
    assert hubs.Hub("https://huggingface.co") == hubs.of(
        {"HF_ENDPOINT": "", "HF_TOKEN": "", "HF_TOKEN_PATH": "/nowhere/token"}
    )
    mirror = {"HF_ENDPOINT": "http://mirror:81/hf/", "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "yes"}
    assert hubs.Hub("http://mirror:81/hf", TOKEN, "HF_TOKEN", offline=True) == hubs.of(mirror)


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_ENDPOINT": "mirror-secret"},
        {"HF_ENDPOINT": "https://user:secret@mirror"},
        {"HF_ENDPOINT": "file:///secret"},
        {"HF_TOKEN": "secret\nX-Evil: 1"},
        {"HF_TOKEN": "sécret secret"},
    ],
)
def test_variables_that_cannot_be_used(variables: dict[str, str]) -> None:
    """They are named; what they hold is not said."""
    with pytest.raises(NotFetched) as raised:
        hubs.of(variables)
    assert next(iter(variables)) in str(raised.value)
    assert "secret" not in str(raised.value)


def test_files_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, with what the hub says of each."""
    with hub(monkeypatch) as served:
        name = HubName(owner="me", repo="Toy-GGUF", revision="main")
        commit, files = hubs.listing(hubs.Hub(served.url), name)
        assert "/api/models/me/Toy-GGUF/revision/main?blobs=true" == served.asked[0].path
        assert served.repositories["me/Toy-GGUF"].commit == commit
    told = {file.path: (file.size, bool(file.sha256)) for file in files}
    assert {p: (len(c), p.endswith("gguf")) for p, c in FILES.items()} == told
