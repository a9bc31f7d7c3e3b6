"""deploy/compose.yaml: rendered by its own rules, and read as an engine would read it."""

import re
from typing import Any

import pytest

from tests.system.deployed import (
    DEPLOY,
    HOME,
    KNOWN,
    USER,
    baton_only,
    documents,
    instructions,
    is_pinned,
    settings_of,
)

FILE = DEPLOY / "compose.yaml"
GIVEN = {"BATON_MASTER_KEY": "0f" * 32, "POSTGRES_PASSWORD": "x1"}
"""What its first lines tell the operator to put into .env."""
VARIABLE = re.compile(r"\$\{(\w+):\?[^}]*\}")
RELAYS = ("relay-a", "relay-b")


def rendered(value: Any) -> Any:
    """With variables put in their places; one that nobody gives is a KeyError."""
    if isinstance(value, dict):
        return {key: rendered(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rendered(each) for each in value]
    return VARIABLE.sub(lambda m: GIVEN[m[1]], value) if isinstance(value, str) else value


def project() -> dict[str, Any]:
    [document] = documents(FILE)
    found = rendered(document)
    assert isinstance(found, dict)
    assert "${" not in str(found)
    return found


SERVICES: dict[str, dict[str, Any]] = project()["services"]


def seconds(duration: str) -> float:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None
    return float(match[1])


def test_what_it_needs_is_told() -> None:
    """Each variable that must be given is named in the lines for the operator."""
    text = FILE.read_text(encoding="utf-8")
    head = text[: text.index("\nname:")]
    assert set(GIVEN) == set(VARIABLE.findall(text))
    assert [] == [name for name in GIVEN if f"{name}=$(openssl rand -hex" not in head]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined(name: str) -> None:
    """A pinned image, an ordinary user, nothing writable but what is named, limits for all."""
    service = SERVICES[name]
    assert is_pinned(service["image"])
    assert not service["user"].startswith(("0", "root"))
    assert (True, ["ALL"]) == (service["read_only"], service["cap_drop"])
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert "privileged" not in service
    assert "unless-stopped" == service["restart"]
    assert "CMD" == service["healthcheck"]["test"][0]


@pytest.mark.parametrize("name", RELAYS)
def test_relays(name: str) -> None:
    """Their settings can be used, they find their servers, and a drain has time."""
    service = SERVICES[name]
    settings = settings_of(service["environment"])
    assert baton_only(service["environment"]) <= KNOWN
    assert f"{USER}:{USER}" == service["user"]
    assert settings.drain_timeout_s < seconds(service["stop_grace_period"])
    postgres = SERVICES["postgres"]["environment"]
    database = f"{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}@postgres:5432"
    assert f"postgresql://{database}/{postgres['POSTGRES_DB']}" == settings.database_url
    assert "redis://valkey:6379/0" == settings.redis_url
    [port] = service["ports"]
    address, outside, inside = port.rsplit(":", 2)
    assert ("127.0.0.1", str(settings.port)) == (address, inside)
    assert f"http://127.0.0.1:{outside}" == settings.address


def test_relays_share_nothing_on_disk() -> None:
    """Each has its own home on a volume that is defined; the master key is the same."""
    volumes = [SERVICES[name]["volumes"] for name in RELAYS]
    assert [[f"{name}:{HOME}"] for name in RELAYS] == volumes
    named = {each.partition(":")[0] for s in SERVICES.values() for each in s.get("volumes", [])}
    assert named == set(project()["volumes"])
    keys = {SERVICES[name]["environment"]["BATON_MASTER_KEY"] for name in RELAYS}
    assert 1 == len(keys)


def test_only_relays_are_reached_from_outside() -> None:
    """The database and the counters have no published port."""
    assert set(RELAYS) == {name for name, service in SERVICES.items() if "ports" in service}


def test_who_waits_for_whom_exists() -> None:
    """And has a health check to wait for; the relays start one after the other."""
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert {"postgres", "valkey"} == set(waits["relay-a"])
    assert {"relay-a"} == set(waits["relay-b"])
    for wanted in waits.values():
        for name, condition in wanted.items():
            assert {"condition": "service_healthy"} == condition
            assert "healthcheck" in SERVICES[name]


def test_it_builds_and_checks_as_the_image_says() -> None:
    """The Containerfile is where it is said to be; health is asked in the image's words."""
    build = SERVICES["relay-a"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert (DEPLOY / "Containerfile").samefile(context / build["dockerfile"])
    [line] = [
        rest for word, rest in instructions(DEPLOY / "Containerfile") if word == "HEALTHCHECK"
    ]
    check = SERVICES["relay-a"]["healthcheck"]
    quoted = [each.replace('"', '\\"') for each in check["test"][1:]]
    assert "CMD [" + ", ".join(f'"{each}"' for each in quoted) + "]" == line[line.index("CMD") :]
    assert f"--interval={check['interval']} --timeout={check['timeout']}" in line
    assert f"--retries={check['retries']}" in line
