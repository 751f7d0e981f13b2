"""infra/package.py: what `make build` makes is what runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from infra import package

ROOT = Path(__file__).resolve().parents[2]
# The data plane's. Lambda's own limit for a function and all of its layers is 250 MB.
LIMIT_BYTES = 60_000_000
LAMBDA_LIMIT_BYTES = 250_000_000
# Bit 0: a hash instead of a time; bit 1: compare it with the source. Lambda's files have other times, and nothing to write to.
UNCHECKED_HASH = 0b01
ELF_MACHINES = {"x86_64": 62, "arm64": 183}

PARAMETERS = """\
Parameters:
  Runtime:
    Type: String
    Default: python3.13
    AllowedValues:
    - python3.12
    - python3.13
    Description: One
  StageName:
    Type: String
    Default: prod
Resources:
"""


@pytest.fixture(scope="module")
def built(sam: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make build` for this machine, once."""
    folder = tmp_path_factory.mktemp("built")
    package.build(package.machine(), sam, folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The processor this machine does not have, and the layer for it."""
    [architecture] = set(package.PLATFORMS) - {package.machine()}
    folder = tmp_path_factory.mktemp("other")
    package.build_layer(ROOT / "layers" / "pllm", folder, architecture)
    return architecture, folder


def code_folders(built: Path) -> list[Path]:
    return [*(path / "python" for path in built.glob("*Layer") if (path / "python").is_dir()), *built.glob("*Function")]


def extensions(folder: Path) -> Iterator[Path]:
    yield from folder.rglob("*.so")


def elf_machine(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[18:20], "little")


def layers_of(template: dict[str, Any], function: str, *, elsewhere: bool = False) -> list[str]:
    """The layers that the template gives a function, by resource; `elsewhere`: with a configuration that is not packaged."""
    found = []
    for layer in (*template["Globals"]["Function"]["Layers"], *template["Resources"][function]["Properties"].get("Layers", [])):
        condition, chosen, _ = layer.get("Fn::If", ["", layer, None])
        if not condition or (elsewhere and condition.endswith("ConfigElsewhere")):
            found.append(chosen["Ref"])
    return found


def run_isolated(built: Path, folders: list[str], program: str, **variables: str) -> str:
    """Run `program` as Lambda would: this interpreter, these layers, this function, and no site-packages."""
    environment = {
        "PYTHONPATH": os.pathsep.join(str(path) for name in folders for path in (built / name / "python", built / name)),
        "PLLM_CONFIG": str(built / "ConfigLayer/config/config.json"),
        "PLLM_MASTER_KEY": "sk-pllm-test",
        "PLLM_TABLE": "",
        "AWS_REGION": "eu-central-1",
        **variables,
    }
    ran = subprocess.run(
        [sys.executable, "-S", "-s", "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_sealing_leaves_one_value_and_nothing_else_changed() -> None:
    sealed = package.seal(PARAMETERS, "Runtime", "python3.12")
    assert sealed == PARAMETERS.replace("Default: python3.13", "Default: python3.12").replace("    - python3.13\n", "")


@pytest.mark.parametrize(
    ("parameter", "complaint"), [("Missing", "has no parameter"), ("StageName", "no list of allowed values")]
)
def test_sealing_refuses_a_template_that_it_does_not_understand(parameter: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        package.seal(PARAMETERS, parameter, "x")


def test_every_aws_service_the_source_asks_for_is_kept() -> None:
    asked = {
        name
        for path in (ROOT / "layers").rglob("*.py")
        for name in re.findall(r"""\b(?:client|create_client|resource)\(\s*["']([a-z0-9-]+)["']""", path.read_text("utf-8"))
    }
    assert asked <= package.AWS_SERVICES


@pytest.mark.slow
def test_the_built_template_accepts_only_what_it_was_built_for(built: Path) -> None:
    parameters = cfn_yaml.load(str(built / "template.yaml"))["Parameters"]
    assert parameters["Runtime"]["AllowedValues"] == [package.runtime()] == [parameters["Runtime"]["Default"]]
    assert parameters["Architecture"]["AllowedValues"] == [package.machine()] == [parameters["Architecture"]["Default"]]


@pytest.mark.slow
def test_every_source_file_has_byte_code_that_needs_no_look_at_the_source(built: Path) -> None:
    sources = [path for folder in code_folders(built) for path in folder.rglob("*.py")]
    assert len(sources) > 500
    missing = [str(path) for path in sources if not Path(cache_from_source(str(path))).is_file()]
    assert missing == []
    flags = {int.from_bytes(Path(cache_from_source(str(path))).read_bytes()[4:8], "little") for path in sources}
    assert flags == {UNCHECKED_HASH}


@pytest.mark.slow
def test_every_byte_code_file_has_its_source(built: Path) -> None:
    compiled = [path for folder in code_folders(built) for path in folder.rglob("*.pyc")]
    assert [str(path) for path in compiled if not (path.parent.parent / f"{path.name.split('.')[0]}.py").is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "costly"),
    [("GatewayFunction", []), ("AdminFunction", ["fastapi", "pydantic"]), ("RollupFunction", [])],
)
def test_each_function_starts_from_its_own_layers_and_compiles_nothing(
    function: str, costly: list[str], built: Path, template: dict[str, Any]
) -> None:
    program = """
import json, pathlib, sys
import handler
loaded = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
cached = [getattr(module, "__cached__", None) for module in loaded if module.__file__.endswith(".py")]
print(json.dumps({
    "app": callable(handler.handler),
    "outside": sorted({module.__name__.split(".")[0] for module in loaded if "site-packages" in module.__file__}),
    "uncached": [path for path in cached if path and not pathlib.Path(path).exists()],
    "costly": sorted({"boto3", "fastapi", "moto", "pydantic", "yaml"} & set(sys.modules)),
}))
"""
    before = {path: path.stat().st_mtime_ns for folder in code_folders(built) for path in folder.rglob("*.pyc")}
    folders = [*layers_of(template, function), function]
    table = "pllm" if function == "RollupFunction" else ""
    found = json.loads(run_isolated(built, folders, program, PLLM_TABLE=table).splitlines()[-1])
    assert found == {"app": True, "outside": [], "uncached": [], "costly": costly}
    assert {path: path.stat().st_mtime_ns for folder in code_folders(built) for path in folder.rglob("*.pyc")} == before


@pytest.mark.slow
@pytest.mark.parametrize("function", ["GatewayFunction", "AdminFunction", "RollupFunction"])
def test_a_configuration_from_elsewhere_may_be_yaml(
    function: str, built: Path, template: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model_list: [{model_name: fast, params: {model: openai/gpt-4.1, api_key: none}}]\n", "utf-8")
    folders = [*layers_of(template, function, elsewhere=True), function]
    program = (
        "import os; from pllm.startup import read_config; print(len(read_config(os.environ['PLLM_CONFIG']).config.model_list))"
    )
    assert run_isolated(built, folders, program, PLLM_CONFIG=str(config)) == "1\n"


@pytest.mark.slow
def test_the_streaming_runtime_and_the_aws_sdk_import_from_the_layers(built: Path, template: dict[str, Any]) -> None:
    program = """
import awslambdaric.bootstrap, boto3, lambda_stream
for service in ("dynamodb", "secretsmanager"):
    boto3.client(service, region_name="eu-central-1")
print(lambda_stream.__file__)
"""
    found = run_isolated(built, layers_of(template, "GatewayFunction"), program).strip()
    assert found == str(built / "RuntimeLayer/python/lambda_stream/__init__.py")


@pytest.mark.slow
def test_the_wrapper_is_where_the_template_says_and_can_be_run(built: Path) -> None:
    wrapper = built / "RuntimeLayer" / "bootstrap-wrapper"
    assert os.access(wrapper, os.X_OK)


@pytest.mark.slow
def test_the_admin_page_is_packaged_whole(built: Path) -> None:
    def files(root: Path) -> dict[str, bytes]:
        folder = root / "pllm" / "admin" / "ui" / "static"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert "index.html" in files(ROOT / "layers" / "pllm")
    assert files(built / "PllmLayer" / "python") == files(ROOT / "layers" / "pllm")


@pytest.mark.slow
def test_the_configuration_is_compiled(built: Path) -> None:
    document = json.loads((built / "ConfigLayer/config/config.json").read_text("utf-8"))
    assert "pllm_config" in document
    assert list((built / "ConfigLayer").rglob("*.yaml")) == []


@pytest.mark.slow
def test_the_data_plane_is_small_and_all_is_within_lambdas_limit(built: Path, template: dict[str, Any]) -> None:
    sizes = dict(package.sizes(built))

    def loaded(function: str, *, elsewhere: bool = False) -> int:
        return sum(sizes[name] for name in (*layers_of(template, function, elsewhere=elsewhere), function))

    assert loaded("GatewayFunction") < LIMIT_BYTES
    assert max(loaded("GatewayFunction", elsewhere=True), loaded("AdminFunction")) < LAMBDA_LIMIT_BYTES


@pytest.mark.slow
def test_nothing_is_packaged_that_nothing_reads(built: Path) -> None:
    for folder in code_folders(built):
        assert [str(path) for path in folder.glob("*/tests")] == []
        assert list(folder.glob("*.dist-info/RECORD")) == []
        assert not (folder / "bin").exists()
    licences = list((built / "PllmLayer/python").glob("aiohttp-*.dist-info/licenses/*"))
    assert licences


@pytest.mark.slow
def test_extensions_are_for_the_processor_that_was_asked_for(built: Path, other: tuple[str, Path]) -> None:
    architecture, folder = other
    for wanted, files in ((package.machine(), [*extensions(built)]), (architecture, [*extensions(folder)])):
        assert len(files) >= 8
        assert {elf_machine(path) for path in files} == {ELF_MACHINES[wanted]}


@pytest.mark.slow
def test_a_configuration_with_a_mistake_does_not_build(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_lsit: []\n", "utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        package.build_config(tmp_path, tmp_path / "built")
    assert not (tmp_path / "built/config/config.json").exists()


def test_code_that_does_not_compile_does_not_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "handler.py").write_text("def handler(:\n", "utf-8")
    with pytest.raises(SystemExit, match="not all of it compiles"):
        package.build_function(source, tmp_path / "built")


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(package.ARCHITECTURE_VARIABLE, "riscv64")
    with pytest.raises(SystemExit, match="riscv64: expected one of arm64, x86_64"):
        package.main(["layer", str(ROOT / "layers" / "runtime"), str(tmp_path)])
