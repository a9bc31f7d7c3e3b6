"""Baton: a self-hosted relay for text completions in native OpenAI format."""
