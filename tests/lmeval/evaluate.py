"""Run lm-evaluation-harness against an endpoint. Runs in the harness's own environment.

python evaluate.py BASE_URL MODEL CONCURRENCY…    (in the folder of the tasks; offline)

The key is in OPENAI_API_KEY, where the harness looks for it. Prints one JSON object: for each
CONCURRENCY the samples that the harness logged.
"""

import contextlib
import importlib
import json
import os
import sys
from typing import Any

TASKS = ("baton_mc", "baton_gen", "baton_roll")
BATCH_SIZE = 3
CONTEXT_TOKENS = 2048


def model_arguments(base_url: str, model: str, key: str, concurrency: int) -> dict[str, Any]:
    """What the harness's `local-completions` needs to use no tokenizer but the server's."""
    return {
        "model": model,
        "base_url": f"{base_url}/v1/completions",
        "tokenizer_backend": "remote",
        "auth_token": key,
        "num_concurrent": concurrency,
        "max_retries": 1,
        "max_length": CONTEXT_TOKENS,
    }


def main() -> None:
    base_url, model, *concurrencies = sys.argv[1:]
    key = os.environ["OPENAI_API_KEY"]
    found = {}
    with contextlib.redirect_stdout(sys.stderr):
        harness = importlib.import_module("lm_eval")
        tasks = importlib.import_module("lm_eval.tasks")
        manager = tasks.TaskManager(include_path=".", include_defaults=False)
        for concurrency in concurrencies:
            result = harness.simple_evaluate(
                model="local-completions",
                model_args=model_arguments(base_url, model, key, int(concurrency)),
                tasks=list(TASKS),
                task_manager=manager,
                batch_size=BATCH_SIZE,
                bootstrap_iters=0,
                log_samples=True,
            )
            found[concurrency] = {
                task: [{"doc": sample["doc"], "answers": sample["resps"]} for sample in samples]
                for task, samples in result["samples"].items()
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
