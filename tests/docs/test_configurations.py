"""Every configuration in the guide that is marked `check` is read by its own program."""

import json
import pathlib
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from baton.web.markdown import Block
from tests.docs.pages import NAMES, ROOT, marked

CERTIFICATES = "/etc/ssl/baton"
BLOCKS = [(name, block) for name in NAMES for block in marked(name, "check")]
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "ini": "systemd-analyze"}


def ids(value: object) -> str:
    return f"{value.language}:{value.line}" if isinstance(value, Block) else str(value)


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=ids)
def test_it_is_understood(
    page: str, block: Block, tmp_path: pathlib.Path, certificates: pathlib.Path
) -> None:
    """nginx -t, haproxy -c, systemd-analyze verify; YAML, TOML and JSON are parsed."""
    code = block.code.replace(CERTIFICATES, str(certificates))
    if block.language in PROGRAMS:
        done = read_by_program(block.language, code, tmp_path)
        told = f"{page}.md:{block.line}\n{done.stdout}\n{done.stderr}"
        assert 0 == done.returncode, told
        assert "warn" not in done.stderr.lower(), told
    else:
        parse = {"yaml": yaml.safe_load, "toml": tomllib.loads, "json": json.loads}[block.language]
        assert isinstance(parse(code), dict)


def read_by_program(
    language: str, code: str, folder: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    program = shutil.which(PROGRAMS[language]) or shutil.which(f"/usr/sbin/{PROGRAMS[language]}")
    if program is None:
        pytest.fail(f"{PROGRAMS[language]} is not installed: apt-get install it")
    words = {"nginx": nginx, "haproxy": haproxy, "ini": unit}[language](code, folder)
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=30)


def nginx(code: str, folder: pathlib.Path) -> list[str]:
    """In the frame of a main configuration that writes nowhere else."""
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {folder}/pid; events {{}} http {{ access_log off; {paths}\n{code}\n}}"
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    return ["-t", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def haproxy(code: str, folder: pathlib.Path) -> list[str]:
    (folder / "haproxy.cfg").write_text(code, encoding="utf-8")
    return ["-c", "-f", str(folder / "haproxy.cfg")]


def unit(code: str, folder: pathlib.Path) -> list[str]:
    """The program that it starts is not there: something that is stands for it."""
    code = code.replace("/opt/baton/.venv/bin/baton serve", "/bin/true")
    (folder / "baton.service").write_text(code, encoding="utf-8")
    return ["verify", "--man=no", str(folder / "baton.service")]


def test_the_unit_in_the_guide_is_ours_without_its_hardening() -> None:
    """Each line of it stands in deploy/baton.service; none that names a place is left out."""
    [block] = [block for page, block in BLOCKS if block.language == "ini"]
    ours = (ROOT / "deploy/baton.service").read_text(encoding="utf-8").splitlines()
    shown = [line for line in block.code.splitlines() if not line.startswith("#")]
    assert [] == [line for line in shown if line not in ours]
    places = [line for line in ours if re.match(r"Environment|\w+Directory=(?!/opt)", line)]
    assert [] == [line for line in places if line not in shown]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("nginx", "server { listen 1; proxy_bufering off; }"),
        ("haproxy", "defaults\n    option http-no-delays\n"),
    ],
)
def test_a_misspelt_word_is_found(language: str, code: str, tmp_path: pathlib.Path) -> None:
    """These tests can fail."""
    assert read_by_program(language, code, tmp_path).returncode != 0
