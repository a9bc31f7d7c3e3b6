"""What a server is, by what it says: recorded answers of the real ones."""

import json

import pytest

from baton.upstreams.probing import Told, recognise, vendor

NOT_FOUND = Told(404, {"server": "uvicorn"}, b'{"detail":"Not Found"}')


def listed(owner: str, server: str = "uvicorn") -> Told:
    model = {"id": "org/m", "object": "model", "created": 1, "owned_by": owner}
    body = json.dumps({"object": "list", "data": [model]}).encode()
    return Told(200, {"server": server}, body)


PROPS = b'{"default_generation_settings":{"params":{}},"total_slots":2,"model_path":"/m.gguf"}'
RECORDED: dict[str, dict[str, Told]] = {
    "llama-server": {
        "/props": Told(200, {"server": "llama.cpp"}, PROPS),
        "/v1/models": listed("llamacpp", "llama.cpp"),
    },
    "ollama": {
        "/api/version": Told(200, {}, b'{"version":"0.12.11"}'),
        "/v1/models": listed("library", ""),
    },
    "vllm": {
        "/healthz": NOT_FOUND,
        "/version": Told(200, {"server": "uvicorn"}, b'{"version":"0.33.0"}'),
        "/v1/models": listed("vllm"),
    },
    "sglang": {
        "/get_server_info": Told(200, {}, b'{"model_path":"m","tp_size":1}'),
        "/v1/models": listed("sglang"),
    },
    "baton": {"/healthz": Told(200, {}, b'{"status":"ok"}'), "/v1/models": listed("baton", "")},
}


@pytest.mark.parametrize("dialect", RECORDED)
def test_servers_are_known_by_their_answers(dialect: str) -> None:
    """Surely, with a reason and the models."""
    found = recognise(RECORDED[dialect])
    assert (found.dialect, found.certain, found.models) == (dialect, True, ("org/m",))
    assert found.why


@pytest.mark.parametrize("dialect", RECORDED)
def test_without_its_list_of_models(dialect: str) -> None:
    """A key may be wrong: what else it says is enough, but for a Baton."""
    answers = {**RECORDED[dialect], "/v1/models": Told(401, {}, b'{"error":"Unauthorized"}')}
    expected = "openai" if dialect == "baton" else dialect
    assert recognise(answers).dialect == expected


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/v1/models": NOT_FOUND},
        {"/v1/models": listed("somebody")},
        {"/version": Told(200, {}, b"[]"), "/props": Told(200, {}, b"<html>")},
        {"/api/version": Told(200, {}, b'{"version":5}')},
        {"/version": Told(200, {}, b'{"version":"1","more":1}')},
        {"/v1/models": Told(200, {}, b'{"data":[5,{"id":7}]}')},
        {"/props": Told(200, {}, b"[" * 100_000)},
    ],
)
def test_an_unknown_server_is_a_guess(answers: dict[str, Told]) -> None:
    """OpenAI's completions, told as assumed."""
    found = recognise(answers)
    assert (found.dialect, found.certain) == ("openai", False)


def test_vendors_are_known_by_their_names() -> None:
    """By the whole name, not by a part of it."""
    for host, dialect in (
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("api.mistral.ai", "mistral"),
        ("codestral.mistral.ai", "mistral"),
        ("api.together.xyz", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.deepseek.com", "deepseek"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
    ):
        found = vendor(host)
        assert found is not None
        assert found.dialect == dialect
    for host in ("api.openai.com.evil.test", "notmistral.ai", "localhost"):
        assert vendor(host) is None


def test_what_is_shown_is_printable() -> None:
    """A server's words end up on a terminal."""
    body = json.dumps({"version": "1\x1b[31m" + "x" * 500}).encode()
    why = recognise({"/api/version": Told(200, {}, body)}).why
    assert "\x1b" not in why
    assert len(why) <= 120
