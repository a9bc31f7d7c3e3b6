"""Completion paths in every form that names the same resource."""

import doctest

import httptools
import pytest

from baton.http import paths
from baton.http.paths import completion_path


def test_completion_path_names_the_model() -> None:
    """Only completion paths are taken, and /m/… fixes the model, percent-decoded."""
    assert 0 == doctest.testmod(paths).failed
    assert "" == completion_path(b"/v1/completions?api-version=1")
    assert "" == completion_path(b"/v1/completions/")
    assert "é" == completion_path(b"/m/%C3%A9/v1/completions")
    assert None is completion_path(b"/v1/completionz")
    assert None is completion_path(b"/m//v1/completions")


def test_whole_and_encoded_targets_mean_the_same() -> None:
    """`http://host/…` and needless percent-encoding name the same paths."""
    assert "" == completion_path(b"http://x:1/v1/completions?a=b")
    assert "a" == completion_path(b"http://x/m/a/v1/completions")
    assert "" == completion_path(b"/v1/%63ompletions")
    assert None is completion_path(b"/v1/%2e%2e/v1/completions")
    assert None is completion_path(b"*")
    with pytest.raises(httptools.HttpParserInvalidURLError):
        completion_path(b"http://[::1")
