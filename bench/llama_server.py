"""xllamacpp's own server in a process of its own: what the embedded engine is compared with.

python -m bench.llama_server MODEL.gguf THREADS SEQUENCES CONTEXT    (prints its address, serves)

It is set up as the engine is: the same threads, sequences, context of each sequence, batch sizes
and divided KV cache. What its web server adds (slot idle cache, warm-up) is left as it comes.
"""

import signal
import sys

import xllamacpp

BATCH_TOKENS = 512


def parameters(path: str, threads: int, sequences: int, context: int) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_parallel = sequences
    params.n_ctx = context * sequences
    params.n_batch = BATCH_TOKENS
    params.n_ubatch = BATCH_TOKENS
    params.kv_unified = False
    params.cont_batching = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    return params


def main() -> None:
    path, threads, sequences, context = sys.argv[1], *map(int, sys.argv[2:5])
    server = xllamacpp.Server(parameters(path, threads, sequences, context))
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
