"""A listener for operators: what each of the two answers, and that both live and end together.

Real servers: one with a worker of its own, one with two.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from baton.http.paths import PROBE_PATHS
from baton.web.console.table import SCREENS
from baton.web.routes import CALLERS, OPERATIONS
from tests import running
from tests.asking import Answer, Endpoint
from tests.faults.conftest import FAKE_MODEL, add_upstream, fake_upstream, until_known
from tests.test_supervisor import swap, until_refused
from tests.upstreams.certified import certificate
from tests.web.console.browsing import Visitor, form_of

TIMEOUT_S = 15.0
INNER = [one for one in OPERATIONS if one not in CALLERS]
NO_KEY = {"Authorization": None}
NOWHERE = "/nothing/that/anybody/has"


class Apart:
    """A running Baton with two listeners."""

    def __init__(self, server: running.Server) -> None:
        self.server = server
        place = re.findall(r"console  http://(\S+)/console", server.printed())[-1]
        self.admin_url = f"http://{place}"

    def callers(self, key: str | None = None) -> Endpoint:
        return Endpoint(self.server.base_url, key or self.server.key, FAKE_MODEL)

    def operators(self, key: str | None = None) -> Endpoint:
        return Endpoint(self.admin_url, key or self.server.admin_key, FAKE_MODEL)


@contextlib.contextmanager
def apart(home: pathlib.Path, **settings: str) -> Iterator[Apart]:
    """The second listener takes a free port; the banner tells which."""
    given = {"BATON_MODEL": "none", "BATON_ADMIN_LISTEN": "127.0.0.1:0", **settings}
    with running.serving(home, given) as server:
        until_said(server, "/console")
        yield Apart(server)


def until_said(server: running.Server, text: str) -> None:
    """Return once it has printed this."""
    deadline = time.monotonic() + running.START_TIMEOUT_S
    while text not in server.printed():
        assert time.monotonic() < deadline, server.printed()
        time.sleep(running.POLL_S)


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with fake_upstream() as url:
        yield url


@pytest.fixture(scope="module", params=["1", "2"])
def both(
    request: pytest.FixtureRequest, upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Apart]:
    home = tmp_path_factory.mktemp("apart") / "home"
    with apart(home, BATON_WORKERS=request.param, BATON_CORS_ORIGINS="https://app.test") as found:
        add_upstream(found.server, upstream)
        until_known(found.server, FAKE_MODEL)
        yield found


def concrete(path: str) -> str:
    """A path that the pattern matches."""
    return re.sub(r"\{[^}]*\}", "x", path)


def shape(answer: Answer, path: str) -> tuple[object, ...]:
    """All of an answer but what no two have in common."""
    error = {**answer.error, "message": answer.error["message"].replace(path, "PATH")}
    own = ("date", "x-request-id", "content-length")
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status, error, headers


def test_what_is_for_operators_is_nowhere_for_callers(both: Apart) -> None:
    """Every operation and page, whoever asks: the answer of a path that nobody has, to the letter.
    At the other listener each is there."""
    routes = [(one.method, concrete(one.path)) for one in INNER]
    routes += [(one.method, concrete(one.path)) for one in SCREENS]
    routes += [("GET", "/console/"), ("GET", "/console/static/console.css"), ("GET", "/admin")]
    assert ("GET", "/metrics") in routes
    assert len(routes) > 75
    for method, path in routes:
        for key in (both.server.admin_key, both.server.key):
            there = both.callers(key).ask(method, path, b"{}")
            nowhere = both.callers(key).ask(method, NOWHERE, b"{}")
            assert (404, "unknown_url") == (there.status, there.error["code"])
            assert shape(nowhere, NOWHERE) == shape(there, path)
    for method, path in routes[: len(INNER)]:
        found = both.operators().ask(method, path, b"{}", NO_KEY)
        assert (200 if path == "/metrics" else 401) == found.status, path
    assert 200 == both.operators().get("/console/static/console.css").status


def test_what_is_for_callers_is_at_both(both: Apart) -> None:
    """Completions in every shape, models, tokenizers, probes and documents."""
    for endpoint in (both.callers(), both.operators(both.server.key)):
        whole = endpoint.complete(prompt="a b", max_tokens=4)
        assert (200, 4) == (whole.status, whole.json["usage"]["completion_tokens"])
        stream = endpoint.complete(prompt="a b", max_tokens=4, stream=True)
        assert (200, "[DONE]") == (stream.status, (stream.events or [""])[-1])
        fixed = endpoint.post(f"/m/{FAKE_MODEL}/v1/completions", {"model": "", "prompt": "a"})
        assert 200 == fixed.status
        for path in ("/v1/models", "/v1/key", "/docs", "/openapi/relay.json", *PROBE_PATHS):
            assert 200 == endpoint.get(path).status, path
        for path in ("/infill", "/tokenize", "/v1/fim/completions"):
            assert 400 == endpoint.post(path, {}).status, path
        refused = endpoint.post("/v1/chat/completions", {})
        assert f"POST {both.server.base_url}/v1/completions" in refused.error["message"]


def test_documents_tell_of_what_is_there(both: Apart) -> None:
    """Those for callers name neither a path nor a word of the admin API; those at the other
    listener have all, and each example goes where it is answered."""
    document = both.callers().get("/openapi/relay.json")
    assert [{"url": both.server.base_url}] == document.json["servers"]
    assert {one.public_path for one in CALLERS} <= document.json["paths"].keys()
    assert "admin" not in {tag["name"] for tag in document.json["tags"]}
    for word in ("/admin", "/console", "/metrics", both.admin_url):
        assert word not in document.text
    index = both.callers().get("/docs").text
    assert "docs/completions/createcompletion" in index
    assert "docs/admin/" not in index
    assert 404 == both.callers().get("/docs/admin/adminlistkeys").status
    assert "docs/admin/adminlistkeys" in both.operators().get("/docs").text
    whole = both.operators().get("/openapi/relay.json")
    assert [{"url": both.admin_url}] == whole.json["servers"]
    assert {one.public_path for one in OPERATIONS} <= whole.json["paths"].keys()
    page = both.operators().get("/docs/admin/adminlistkeys").text
    assert f"curl {both.admin_url}/admin/v1/keys" in page
    assert both.server.base_url not in page
    page = both.operators().get("/docs/completions/createcompletion").text
    assert f"curl -N {both.server.base_url}/v1/completions" in page


def test_the_guide_does_not_tell_where_the_other_one_is(both: Apart) -> None:
    """It is the same book at both; examples for operators have their address at theirs alone."""
    here, there = (
        one.get("/docs/guide/http-api").text for one in (both.callers(), both.operators())
    )
    assert both.admin_url not in here
    assert f"{both.server.base_url}/admin" not in here
    assert f"{both.admin_url}/admin/v1/keys" in there
    there = both.operators().get("/docs/guide/completions").text
    assert f"{both.server.base_url}/v1/completions" in there


@pytest.mark.parametrize("path", ["/", "/?lang=zh"])
def test_the_bare_address_leads_on(both: Apart, path: str) -> None:
    """Callers to the documents, operators to the console."""
    assert (307, "docs") == led(both.callers().get(path))
    assert (307, "console") == led(both.operators().get(path))


def led(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.headers["location"]


def test_browsers_of_other_sites(both: Apart) -> None:
    """What holds for the origins in BATON_CORS_ORIGINS holds at both."""
    asked = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}
    for endpoint in (both.callers(), both.operators()):
        assert 204 == endpoint.ask("OPTIONS", "/v1/models", None, asked).status
        assert 204 == endpoint.ask("OPTIONS", "/admin/v1/keys", None, asked).status
        assert 404 == endpoint.ask("OPTIONS", "/admin/v1/no", None, {"Origin": "x"}).status


def test_forms_of_the_console(both: Apart) -> None:
    """They are believed from pages of that listener alone, and what they change is changed; a new
    key is shown by whichever worker is asked for its page."""
    one = Visitor(both.operators())
    entered = one.sign_in(both.server.admin_key)
    assert (303, False) == (entered.status, "Secure" in entered.headers["set-cookie"])
    form = form_of(one.get("/console/keys"), "console/keys", name="made-here")
    for origin in (both.server.base_url, "http://127.0.0.1:1", "null"):
        refused = one.post("/console/keys", form, Origin=origin)
        assert (403, True) == (refused.status, "another site" in refused.text)
    made = one.post("/console/keys", form)
    assert 303 == made.status
    cookie = f"{one.cookie}; {made.headers['set-cookie'].partition(';')[0]}"
    shown = one.get("/console/" + made.headers["location"].partition("console/")[2], Cookie=cookie)
    value = re.findall(r"sk-bt-\w+", shown.text)[0]
    answer = both.callers(value).get("/v1/models")
    assert 200 == answer.status
    names = [key["name"] for key in both.operators().get("/admin/v1/keys").json["data"]]
    assert "made-here" in names


def test_the_playground_calls_its_own_listener(both: Apart) -> None:
    """With the session, as its page does, and shows callers' address in what is copied."""
    one = Visitor(both.operators())
    assert 303 == one.sign_in(both.server.key).status
    page = one.get("/console/playground").text
    assert 'data-root="../"' in page
    assert f'data-address="{both.server.base_url}"' in page
    shown = {"Cookie": one.cookie, "x-baton-csrf": one.mark, "Authorization": None}
    wanted = json.dumps({"model": FAKE_MODEL, "prompt": "a b", "max_tokens": 2}).encode()
    assert 200 == both.operators().ask("POST", "/v1/completions", wanted, shown).status


def test_numbers_are_of_all_workers_and_both_listeners(both: Apart) -> None:
    """What is scraped there counts what came here."""
    before = completions(both)
    for _ in range(4):
        assert 200 == both.callers().complete(prompt="a", max_tokens=1).status
    assert 200 == both.operators().complete(prompt="a", max_tokens=1).status
    deadline = time.monotonic() + TIMEOUT_S
    while completions(both) < before + 5:
        assert time.monotonic() < deadline
        time.sleep(running.POLL_S)


def completions(both: Apart) -> int:
    text = both.operators().get("/metrics").text
    return sum(
        int(float(each)) for each in re.findall(r"^baton_requests_total\{.*\} (\S+)", text, re.M)
    )


def test_commands_find_it(both: Apart) -> None:
    """`baton upstream list` tells live numbers, and `baton doctor` looks at both."""
    place = both.admin_url.removeprefix("http://")
    environment = {**both.server.environment, "BATON_ADMIN_LISTEN": place}
    told = dataclasses.replace(both.server, environment=environment)
    (row,) = json.loads(told.cli("upstream", "list", "--json"))
    assert "healthy" == row["state"]
    found = {each["check"]: each for each in json.loads(told.cli("doctor", "--json"))}
    assert ("ok", f"a Baton answers at {place}") == (
        found["admin port"]["state"],
        found["admin port"]["message"],
    )
    assert both.admin_url == found["admin address"]["message"]


def test_a_swap_keeps_both(both: Apart) -> None:
    """SIGHUP: new workers on the same sockets."""
    swap(both.server)
    assert 200 == both.callers().complete(prompt="a", max_tokens=1).status
    assert 200 == both.operators().get("/admin/v1/keys").status
    assert 404 == both.callers().get("/admin/v1/keys").status


@pytest.mark.parametrize("workers", ["1", "2"])
def test_both_refuse_while_it_drains(tmp_path: pathlib.Path, workers: str) -> None:
    """At once; what runs, at either, comes to its end first."""
    upstream = socket.create_server(("127.0.0.1", 0))
    with upstream, apart(tmp_path / "home", BATON_WORKERS=workers) as found:
        add_upstream(found.server, f"http://127.0.0.1:{upstream.getsockname()[1]}")
        until_known(found.server, FAKE_MODEL)
        answers: list[int] = []

        def ask(endpoint: Endpoint) -> None:
            answers.append(endpoint.complete(prompt="a").status)

        ends = (found.callers(), found.operators())
        asked = [threading.Thread(target=ask, args=(each,)) for each in ends]
        for each in asked:
            each.start()
        calls = [upstream.accept()[0] for _ in ends]
        found.server.process.send_signal(signal.SIGTERM)
        for endpoint in ends:
            until_refused(endpoint.port)
        assert found.server.process.poll() is None
        upstream.close()
        for call in calls:
            call.close()
        for each in asked:
            each.join()
        assert 0 == found.server.process.wait(TIMEOUT_S)
    assert [502, 502] == answers


def test_operators_get_in_where_callers_have_taken_all(tmp_path: pathlib.Path) -> None:
    """Connections of callers are counted apart."""
    with apart(tmp_path / "home", BATON_CONNECTIONS_MAX="2") as found:
        address = ("127.0.0.1", found.callers().port)
        with contextlib.ExitStack() as held:
            for _ in range(2):
                client = held.enter_context(socket.create_connection(address, TIMEOUT_S))
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            assert 503 == found.callers().get("/healthz").status
            assert 200 == found.operators().get("/admin/v1/keys").status


def test_names_of_both(tmp_path: pathlib.Path) -> None:
    """With a list of hosts the operators' name is Baton's own, as the callers' is; with an address
    that has TLS in front, cookies say so and forms of its pages are believed."""
    given = {
        "BATON_ALLOWED_HOSTS": "listed.test",
        "BATON_PUBLIC_URL": "https://relay.test",
        "BATON_ADMIN_URL": "https://ops.test/",
    }
    with apart_at(tmp_path / "home", given) as (callers, operators):
        for endpoint in (callers, operators):
            for host in ("listed.test", "relay.test", "ops.test", "127.0.0.1"):
                assert 200 == endpoint.ask("GET", "/v1/models", None, {"Host": host}).status
            assert 421 == endpoint.ask("GET", "/v1/models", None, {"Host": "evil.test"}).status
        one = Visitor(operators)
        form = {"key": operators.key}
        refused = one.post("/console", form, Origin="https://relay.test")
        assert 403 == refused.status
        entered = one.post("/console", form, Origin="https://ops.test")
        assert 303 == entered.status
        assert "Secure" in entered.headers["set-cookie"]
        assert "https://ops.test/admin" in operators.get("/docs/guide/http-api").text
        assert "ops.test" not in callers.get("/docs/guide/http-api").text


@contextlib.contextmanager
def apart_at(home: pathlib.Path, given: dict[str, str]) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Where addresses are those of proxies: by the port that was asked for."""
    port = running.free_port()
    settings = {"BATON_MODEL": "none", "BATON_ADMIN_LISTEN": f"127.0.0.1:{port}", **given}
    with running.serving(home, settings) as server:
        admin = Endpoint(f"http://127.0.0.1:{port}", server.admin_key, "")
        yield Endpoint(server.base_url, server.key, ""), admin


def test_a_certificate_is_for_both(tmp_path: pathlib.Path) -> None:
    """Neither speaks plain HTTP then; sessions stay on connections with TLS."""
    _, file = certificate(tmp_path, "relay.test")
    ports = (running.free_port(), running.free_port())
    key_file = str(tmp_path / "key.pem")
    given = {"BATON_TLS_CERTIFICATE_FILE": file, "BATON_TLS_KEY_FILE": key_file}
    given |= {"BATON_MODEL": "none", "BATON_ADMIN_LISTEN": f"127.0.0.1:{ports[1]}"}
    server = running.start(tmp_path / "home", given, port=ports[0])
    try:
        until_said(server, f"console  https://127.0.0.1:{ports[1]}/console")
        trust = ssl.create_default_context(cafile=file)
        statuses = [asked_by_tls(port, trust, "/admin/v1/keys", server) for port in ports]
        assert [404, 200] == statuses
        for port in ports:
            with pytest.raises((http.client.HTTPException, OSError)):
                Endpoint(f"http://127.0.0.1:{port}", server.key, "").get("/readyz")
        assert 0 == server.stop()
    finally:
        server.kill()


def asked_by_tls(port: int, trust: ssl.SSLContext, path: str, server: running.Server) -> int:
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
        trust.wrap_socket(plain, server_hostname="relay.test") as client,
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n"
        client.sendall(f"{head}Authorization: Bearer {server.admin_key}\r\n\r\n".encode())
        return int(client.recv(1000).split()[1])


def test_one_for_all(tmp_path: pathlib.Path) -> None:
    """Without the setting everything is where it was, and there is one socket."""
    with running.serving(tmp_path / "home", {"BATON_MODEL": "none"}) as server:
        for path in ("/admin/v1/keys", "/metrics", "/console", "/docs/admin/adminlistkeys"):
            assert 200 == server.admin.get(path).status
        assert (307, "docs") == led(server.admin.get("/"))
        assert 1 == listening(server.process.pid)
    with apart(tmp_path / "home") as found:
        assert 2 == listening(found.server.process.pid)


def listening(pid: int) -> int:
    """How many listening sockets the process has (Linux)."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {line.split()[9] for line in lines if line.split()[3] == "0A"}
    found = 0
    for each in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(each).removeprefix("socket:[").removesuffix("]") in inodes
    return found
