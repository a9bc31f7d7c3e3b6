"""Dialect `azure`: OpenAI's models on Azure, where a key travels in a header of its own.

Both of Azure's addresses work as the upstream's URL: `https://NAME.openai.azure.com` (its v1
routes), and the one of a deployment with its version,
`https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21`.
"""

from baton.upstreams.openai import OpenAIAdapter


class AzureAdapter(OpenAIAdapter):
    """OpenAI's completions on Azure."""

    name = "azure"


def api_key(key: str) -> tuple[tuple[str, str], ...]:
    """How Azure takes a key."""
    return (("api-key", key),)
