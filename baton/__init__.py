"""Baton: a self-hosted relay for text completions in native OpenAI format."""

__version__ = "0.1.0"
"""That of pyproject.toml; asking the installed package for it means reading its metadata."""
