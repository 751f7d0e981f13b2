"""Where things lie in this repository."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
RUNTIME = ROOT / "layers" / "runtime"
APPS = ROOT / "tests" / "runtime" / "apps"
