"""The image of deploy/Containerfile: read as a file, its parts run here where they can be."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.fakes import file_server
from tests.relaying import relaying
from tests.running import free_port
from tests.system.deployed import (
    DEPLOY,
    HOME,
    KNOWN,
    ROOT,
    USER,
    baton_only,
    documents,
    image_environment,
    instructions,
    is_pinned,
    settings_of,
)
from tests.upstreams.certified import certificate

FILE = DEPLOY / "Containerfile"
GUIDE = ROOT / "docs/guide"


def all_of(word: str) -> list[str]:
    return [rest for found, rest in instructions(FILE) if found == word]


def last_stage() -> list[tuple[str, str]]:
    """What the image itself is made by."""
    lines = instructions(FILE)
    start = max(at for at, (word, _) in enumerate(lines) if word == "FROM")
    return lines[start:]


def health_command() -> list[str]:
    [line] = all_of("HEALTHCHECK")
    command = json.loads(line.partition("CMD ")[2])
    assert isinstance(command, list)
    return command


def test_two_stages_of_a_pinned_base() -> None:
    """What builds is not in what runs, but for the environment that it made."""
    assert ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"] == all_of("FROM")
    [base] = [line.partition("=")[2] for line in all_of("ARG") if line.startswith("PYTHON_IMAGE")]
    assert is_pinned(base)
    assert "alpine" not in base, "the engine has no build for musl"
    copied = [rest for word, rest in last_stage() if word == "COPY"]
    assert ["--from=build /opt/baton /opt/baton"] == copied


def test_what_is_installed_is_locked() -> None:
    """Every package by its hash; Baton itself without asking for any other."""
    installs = [line for line in all_of("RUN") if "pip install" in line]
    assert 2 == len(installs)
    assert "--require-hashes --requirement requirements/serve.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_it_runs_as_process_1_and_not_as_root() -> None:
    """Signals reach the supervisor; the user is a number, which Kubernetes can judge."""
    last = dict(last_stage())
    assert f"{USER}:{USER}" == last["USER"]
    assert ["baton"] == json.loads(last["ENTRYPOINT"])
    assert ["serve"] == json.loads(last["CMD"])
    assert "SIGTERM" == last["STOPSIGNAL"]
    owned = f"--owner={USER} --group={USER} --mode=0700 {HOME}"
    assert any(owned in rest for word, rest in last_stage() if word == "RUN")


def test_its_variables_are_settings() -> None:
    """They exist, can be used, and agree with port and volume."""
    given = image_environment()
    assert baton_only(given) <= KNOWN
    settings = settings_of({})
    assert ("0.0.0.0", HOME) == (settings.host, settings.home)
    assert [str(settings.port)] == all_of("EXPOSE")
    assert [HOME] == all_of("VOLUME")
    [fetch] = [line for line in all_of("RUN") if "model fetch" in line]
    assert f"BATON_MODEL_CACHE={settings.model_cache} " in fetch
    assert f"MODEL={settings.model}" in all_of("ARG")
    assert {name for name in re.findall(r"BATON_\w+", fetch)} <= KNOWN


def test_the_health_check_tells(tmp_path: pathlib.Path) -> None:
    """Its command succeeds on a relay that lives, and fails where nobody listens."""
    command, environment = health_command(), dict(os.environ)
    command[0] = sys.executable
    with relaying(tmp_path) as relay:
        environment["BATON_PORT"] = relay.url.rpartition(":")[2].partition("/")[0]
        alive = subprocess.run(command, env=environment, capture_output=True, timeout=20)
    environment["BATON_PORT"] = str(free_port())
    dead = subprocess.run(command, env=environment, capture_output=True, timeout=20)
    assert (0, 1) == (alive.returncode, dead.returncode), alive.stderr.decode()


def test_the_health_check_knows_a_certificate(tmp_path: pathlib.Path) -> None:
    """One of the relay's own is for the public name; what is asked is whether it lives."""
    context, file = certificate(tmp_path, "relay.example.org")
    command = [sys.executable, *health_command()[1:]]
    with file_server.serving({"/healthz": b"{}"}, context) as server:
        port = server.url.rpartition(":")[2]
        environment = {**os.environ, "BATON_PORT": port, "BATON_TLS_CERTIFICATE_FILE": file}
        alive = subprocess.run(command, env=environment, capture_output=True, timeout=20)
    assert 0 == alive.returncode, alive.stderr.decode()


def test_the_build_sees_what_it_copies_and_nothing_secret() -> None:
    """.dockerignore excludes everything, and lets in what COPY names."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert "*" == rules[0]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copies = [rest.split()[:-1] for rest in all_of("COPY") if not rest.startswith("--from")]
    sources = {source for words in copies for source in words}
    assert allowed == sources
    assert all((ROOT / source).exists() for source in sources)


def test_the_package_is_whole(tmp_path: pathlib.Path) -> None:
    """Installed from what the build sees, not a file of it is missing: pages, texts, migrations."""
    source, out = tmp_path / "src", tmp_path / "out"
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "baton", source / "baton", symlinks=True, ignore=skipped)
    shutil.copytree(ROOT / "docs/guide", source / "docs/guide")
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*wheel, "--no-index", "--wheel-dir", out, "."], cwd=source, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    [built] = out.iterdir()
    with zipfile.ZipFile(built) as archive:
        packed = {name for name in archive.namelist() if name.startswith("baton/")}
    there = source / "baton"
    wanted = {f"baton/{path.relative_to(there)}" for path in there.rglob("*") if path.is_file()}
    wanted |= {f"baton/web/docs/{path.parent.name}/{path.name}" for path in GUIDE.glob("*/*.md")}
    assert "baton/web/docs/zh/keys.md" in wanted
    assert set() == wanted - packed


@pytest.mark.parametrize(
    ("image", "pinned"),
    [("a/b:1.2", True), ("a/b", False), ("a/b:latest", False), ("localhost:5000/b", False)],
)
def test_pins(image: str, pinned: bool) -> None:
    """A version, not a moving name; a registry's port is none."""
    assert pinned == is_pinned(image)


def test_a_key_that_stands_twice_is_found(tmp_path: pathlib.Path) -> None:
    """The reader that the other tests rest on refuses what YAML forbids."""
    path = tmp_path / "twice.yaml"
    path.write_text("a: 1\nb: {c: 1, c: 2}\n")
    with pytest.raises(AssertionError, match="stand twice"):
        documents(path)
