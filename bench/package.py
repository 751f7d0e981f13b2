"""Unzipped sizes of what is deployed, where `make build` has run."""

from bench.figures import Table
from bench.processes import ROOT
from infra.package import sizes

_BUILT = ROOT / ".aws-sam" / "build"


def measure() -> list[Table]:
    if not _BUILT.is_dir():
        return []
    rows = [[name, f"{size / 1e6:.2f}"] for name, size in sizes(_BUILT)]
    return [Table("Package, unzipped", ["resource", "MB"], rows)]
