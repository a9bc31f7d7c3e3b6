"""Dialect `deepseek`: DeepSeek's beta completions (fill in the middle), base /beta.

From the vendor's documentation only: one prompt as a string, at most 4,096 new tokens, no n and no
seed.
"""

from baton.upstreams.base import Capabilities
from baton.upstreams.openai import OpenAIAdapter


class DeepseekAdapter(OpenAIAdapter):
    name = "deepseek"
    capabilities = Capabilities(
        echo=True,
        logprobs=True,
        logprobs_max=20,
        suffix=True,
        stop_max=16,
        penalties=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
        bounded=True,
    )
