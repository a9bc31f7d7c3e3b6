# Everything a person types. Needs Python 3.11 or newer with venv, and make; checks what is missing.
# PYTHON=/path/to/python chooses the interpreter, ARGS="..." goes to pytest, the benchmarks or the soak.

.PHONY: help serve test check bench soak clean

help:
	@echo 'make serve   install what is needed, get the model once, start Baton in the foreground'
	@echo 'make test    install what the tests need and run them (ARGS="-k stop" for some)'
	@echo 'make check   format, lint, types, import order, sizes, words'
	@echo 'make bench   measure against nginx and llama.cpp'"'"'s own server on this machine'
	@echo '             (ARGS="relay --peers haproxy litellm portkey": against these too)'
	@echo 'make soak    the long loops: kill -9, cuts, restarts'
	@echo 'make clean   remove the environment and the caches of the tools'

serve:
	@sh scripts/environment.sh serve
	@.venv/bin/baton model fetch >/dev/null || echo 'Going on without the embedded model.'
	@exec .venv/bin/baton serve

test:
	@sh scripts/environment.sh test
	@.venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

check:
	@sh scripts/environment.sh test
	@sh scripts/check

bench:
	@sh scripts/environment.sh test
	@.venv/bin/python -m bench $(ARGS)

soak:
	@sh scripts/environment.sh test
	@.venv/bin/python -m pytest -m soak $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
