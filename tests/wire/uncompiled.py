"""Loads the plain Python source of a compiled module beside the compiled one, to compare the two in one process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

SOURCE = Path(__file__).parents[2] / "src"


def load_uncompiled(*names: str) -> list[ModuleType]:
    """Load the sources in this order; each sees those before it in place of the compiled modules of that name."""
    loaded: dict[str, ModuleType] = {}
    for name in names:
        path = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
        spec = importlib.util.spec_from_file_location(f"uncompiled.{name}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with patch.dict(sys.modules, loaded):
            spec.loader.exec_module(module)
        loaded[name] = module
    return list(loaded.values())
