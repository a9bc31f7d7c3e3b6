"""Completion paths in every form that names the same resource."""

import doctest

import httptools
import pytest

from baton.http import paths
from baton.http.paths import PLAIN, Where, completion_path, path_to


def test_completion_path_names_the_model() -> None:
    """Only completion paths are taken, and /m/… fixes the model, percent-decoded."""
    assert 0 == doctest.testmod(paths).failed
    assert PLAIN == completion_path(b"/v1/completions?api-version=1")
    assert PLAIN == completion_path(b"/v1/completions/")
    assert Where("é") == completion_path(b"/m/%C3%A9/v1/completions")
    assert None is completion_path(b"/v1/completionz")
    assert None is completion_path(b"/m//v1/completions")


def test_whole_and_encoded_targets_mean_the_same() -> None:
    """`http://host/…` and needless percent-encoding name the same paths."""
    assert PLAIN == completion_path(b"http://x:1/v1/completions?a=b")
    assert Where("a") == completion_path(b"http://x/m/a/v1/completions")
    assert PLAIN == completion_path(b"/v1/%63ompletions")
    assert None is completion_path(b"/v1/%2e%2e/v1/completions")
    assert None is completion_path(b"*")
    with pytest.raises(httptools.HttpParserInvalidURLError):
        completion_path(b"http://[::1")


def test_doors() -> None:
    """Other servers' routes name the shape; also under a model."""
    assert Where("", "fim") == completion_path(b"/v1/fim/completions")
    assert Where("", "infill") == completion_path(b"/infill?x=1")
    assert Where("a/b", "infill") == completion_path(b"/m/a%2Fb/infill")
    assert Where("a", "fim") == completion_path(b"/m/a/v1/fim/completions")
    assert None is completion_path(b"/v1/infill")


def test_the_path_to_a_place_leads_there() -> None:
    """As people write it: with and without a model, at every door."""
    for door in paths.DOOR_PATHS:
        for model in ("", "a", "a/b"):
            where = Where(model, door)
            assert where == completion_path(path_to(where).encode())
