"""Every example of the guide that is marked `run` runs, as it is written, against a real server."""

import pathlib
import subprocess
import sys

import pytest

from baton.web.markdown import Block
from tests.docs.conftest import Stage
from tests.docs.pages import marked, text, with_mark

EXAMPLE_TIMEOUT_S = 120
ERROR = '"error"'
MAY_REFUSE = {("completions", "x-baton-strict"), ("providers", "continuation")}
"""Examples that show a refusal: by page and a word in them."""


@pytest.mark.parametrize("page", with_mark("run"))
def test_examples_run(
    stage: Stage, page: str, tmp_path: pathlib.Path, node_modules: pathlib.Path
) -> None:
    """In the order of the page, in one folder, with the variables that the quick start sets."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    for block in marked(page, "run"):
        done = subprocess.run(
            command(block, stage.placed(block.code), tmp_path),
            cwd=tmp_path,
            env=stage.environment,
            capture_output=True,
            text=True,
            timeout=EXAMPLE_TIMEOUT_S,
            check=False,
        )
        told = f"{page}.md:{block.line}\n{block.code}\n{done.stdout}\n{done.stderr}"
        assert 0 == done.returncode, told
        refusing = any(page == name and word in block.code for name, word in MAY_REFUSE)
        assert refusing or ERROR not in done.stdout, told
        assert done.stdout.strip() or "export" in block.code or ">" in block.code, told


def command(block: Block, code: str, folder: pathlib.Path) -> list[str]:
    """What a reader would do with a block of this language."""
    if block.language == "sh":
        return ["bash", "-euo", "pipefail", "-c", code]
    name = {"python": "example.py", "js": "example.mjs"}[block.language]
    (folder / name).write_text(code, encoding="utf-8")
    return [{"python": sys.executable, "js": "node"}[block.language], name]


def test_a_broken_example_is_found(stage: Stage) -> None:
    """A pipe's first failure counts, an unset variable too; the pages' addresses are replaced."""
    block = Block("sh", ("run",), "false | cat", 1)
    for code in (block.code, "echo $NOT_SET_ANYWHERE"):
        words = command(block, code, pathlib.Path())
        assert subprocess.run(words, capture_output=True, check=False).returncode != 0
    assert f"curl {stage.server.base_url}/v1" == stage.placed("curl http://127.0.0.1:8080/v1")
    assert "http://127.0.0.1:80801" == stage.placed("http://127.0.0.1:80801")


def test_the_words_of_the_harness_are_those_that_are_tested() -> None:
    """tests/lmeval runs the harness with these arguments."""
    from tests.lmeval.evaluate import model_arguments  # noqa: PLC0415 — named by this test alone

    line = next(line for line in text("lm-eval").splitlines() if "--model_args" in line)
    shown = dict(pair.split("=", 1) for pair in line.split()[1].split(","))
    key, model = shown["auth_token"], shown["model"]
    wanted = model_arguments("http://127.0.0.1:8080", model, key, 4)
    assert {name: str(value) for name, value in wanted.items()} == shown
