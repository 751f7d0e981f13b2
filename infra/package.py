"""What is deployed: layers and functions with their byte code inside, for one Python and one processor.

`sam build` calls `layer`, `config` and `function` through the Makefiles beside the sources, one resource at a time. `build`
runs `sam build` and then seals the template: the runtime and the processor that were built for become the only ones it takes.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".aws-sam" / "build"
ARCHITECTURE_VARIABLE = "PLLM_BUILD_ARCH"
# Wheels for the C library of Lambda's oldest supported image (Amazon Linux 2) run on the newer ones as well.
PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
LAYER_PATH = "/opt/python"
# Nothing at run time reads these: sources and stubs of compiled modules, installers' notes, packages' own tests.
UNREAD_FILES = ("*.c", "*.h", "*.pxd", "*.pyi", "*.pyx", "*.dist-info/INSTALLER", "*.dist-info/RECORD", "*.dist-info/REQUESTED")
UNREAD_FOLDERS = ("bin", "*/tests")
# botocore carries a description of every AWS service, 20 MB of them; a test holds this list against what the source asks for.
AWS_SERVICES = frozenset(
    {
        "appconfigdata",
        "bedrock",
        "bedrock-agent-runtime",
        "bedrock-runtime",
        "cloudwatch",
        "dynamodb",
        "logs",
        "s3",
        "secretsmanager",
        "sso",
        "sso-oidc",
        "ssm",
        "sts",
    }
)


def runtime() -> str:
    """The Lambda runtime that runs the byte code of this interpreter, such as `python3.13`."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def machine() -> str:
    """This machine's processor by Lambda's name for it."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def install(requirements: Path, target: Path, architecture: str) -> None:
    """Unpack the locked wheels for `architecture` into `target`; a missing wheel or another hash is an error."""
    command = [sys.executable, "-m", "pip", "install", "--target", str(target), "--requirement", str(requirements)]
    command += [
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-compile",
        "--quiet",
        "--disable-pip-version-check",
    ]
    command += ["--implementation", "cp", "--python-version", runtime().removeprefix("python")]
    command += ["--platform", PLATFORMS[architecture]]
    subprocess.run(command, check=True)


def strip(folder: Path) -> None:
    """Remove from installed packages what nothing at run time reads. Licences and metadata stay."""
    for pattern in UNREAD_FILES:
        for path in folder.rglob(pattern):
            path.unlink()
    for pattern in UNREAD_FOLDERS:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path)
    for path in list(folder.glob("botocore/data/*")):
        if path.is_dir() and path.name not in AWS_SERVICES:
            shutil.rmtree(path)


def compile_tree(folder: Path, deployed_as: str) -> None:
    """Write byte code that Lambda uses without a look at the source: files there have other times and cannot be rewritten."""
    compiled = compileall.compile_dir(
        folder,
        quiet=1,
        force=True,
        stripdir=str(folder),
        prependdir=deployed_as,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"{folder}: not all of it compiles with {runtime()}")


def copy_sources(source: Path, target: Path) -> None:
    """Copy one package or folder of ours, without caches."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def build_layer(source: Path, artifacts: Path, architecture: str) -> None:
    """One layer: its locked dependencies and its packages in `python/`, executable files of ours (a wrapper) beside it."""
    python = artifacts / "python"
    install(source / "requirements.txt", python, architecture)
    strip(python)
    for path in sorted(source.iterdir()):
        if (path / "__init__.py").is_file():
            copy_sources(path, python / path.name)
        elif path.is_file() and os.access(path, os.X_OK):
            shutil.copy2(path, artifacts / path.name)
    compile_tree(python, LAYER_PATH)


def build_config(source: Path, artifacts: Path) -> None:
    """The configuration as JSON, so that a cold start parses no YAML; a configuration with a mistake does not build."""
    target = artifacts / "config" / "config.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pllm.cli", "config", "compile", str(source / "config.yaml"), "-o", str(target)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "pllm")},
    )


def build_function(source: Path, artifacts: Path) -> None:
    """One function: its handler, compiled."""
    copy_sources(source, artifacts)
    compile_tree(artifacts, "/var/task")


def sizes(built: Path) -> Iterator[tuple[str, int]]:
    """Name and unzipped bytes of each built resource."""
    for folder in sorted(path for path in built.iterdir() if path.is_dir()):
        yield folder.name, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def seal(template: str, parameter: str, value: str) -> str:
    """`template` (YAML text) with `value` as the default and the only allowed value of `parameter`.

    Raises ValueError when the parameter is not there in the form `sam build` writes.
    """
    block = re.search(rf"^  {parameter}:\n(?:    .*\n)+", template, flags=re.MULTILINE)
    if block is None:
        raise ValueError(f"the built template has no parameter {parameter}")
    sealed, defaults = re.subn(r"(?m)^    Default: .*$", f"    Default: {value}", block.group())
    sealed, values = re.subn(r"(?m)^    AllowedValues:\n(?:    - .*\n)+", f"    AllowedValues:\n    - {value}\n", sealed)
    if (defaults, values) != (1, 1):
        raise ValueError(f"the built template's parameter {parameter} has no default or no list of allowed values")
    return template.replace(block.group(), sealed)


def build(architecture: str, sam: Path, built: Path) -> None:
    """`sam build` for this interpreter and `architecture`, then the sealed template and a line for each artefact's size."""
    command = [str(sam), "build", "--template", str(ROOT / "infra" / "template.yaml"), "--build-dir", str(built)]
    command += ["--parameter-overrides", f"Runtime={runtime()} Architecture={architecture}"]
    environment = {**os.environ, ARCHITECTURE_VARIABLE: architecture, "PYTHON": sys.executable, "SAM_CLI_TELEMETRY": "0"}
    environment.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    template = built / "template.yaml"
    text = template.read_text(encoding="utf-8")
    for parameter, value in (("Runtime", runtime()), ("Architecture", architecture)):
        text = seal(text, parameter, value)
    template.write_text(text, encoding="utf-8")
    print(f"\nBuilt for {runtime()} on {architecture}, unzipped:")
    for name, size in sizes(built):
        print(f"  {name:<16} {size / 1e6:7.2f} MB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; the Makefiles are its users."""
    parser = argparse.ArgumentParser(prog="infra/package.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("layer", "config", "function"):
        command = commands.add_parser(name)
        command.add_argument("source", type=Path)
        command.add_argument("artifacts", type=Path)
    builder = commands.add_parser("build", help="sam build, sealed and measured")
    builder.add_argument("--arch", choices=sorted(PLATFORMS), default="arm64")
    builder.add_argument("--sam", type=Path, required=True)
    builder.add_argument("--build-dir", type=Path, default=BUILT)
    commands.add_parser("machine", help="this machine's processor by Lambda's name")
    options = parser.parse_args(arguments)
    if options.command == "build":
        build(options.arch, options.sam.absolute(), options.build_dir.absolute())
    elif options.command == "machine":
        print(machine())
    elif options.command == "layer":
        architecture = os.environ.get(ARCHITECTURE_VARIABLE, "arm64")
        if architecture not in PLATFORMS:
            raise SystemExit(f"{ARCHITECTURE_VARIABLE}={architecture}: expected one of {', '.join(PLATFORMS)}")
        build_layer(options.source, options.artifacts, architecture)
    elif options.command == "config":
        build_config(options.source, options.artifacts)
    else:
        build_function(options.source, options.artifacts)


if __name__ == "__main__":
    main()
