"""Compiles a probe: a small module that makes the inline functions of a header-only .pxd callable from Python."""

import importlib.util
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).parents[1] / "src"
SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize

probe = Extension({name!r}, [{name!r} + ".pyx"], extra_compile_args=["-O1"])
setup(script_args=["-q", "build_ext", "--inplace"], ext_modules=cythonize([probe], include_path=[{include!r}], quiet=True))
"""


def compiled_probe(source: Path, directory: Path) -> ModuleType:
    """Return the module of a .pyx, compiled in an empty directory; skip the test where there is no Cython or no C compiler."""
    name = source.stem
    pytest.importorskip("Cython", reason=f"{name} is compiled only where Cython is installed")
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"{name} is compiled only where there is a C compiler, and {compiler} is not here")
    shutil.copy(source, directory)
    (directory / "setup.py").write_text(SETUP.format(name=name, include=str(SOURCES)))
    build = subprocess.run([sys.executable, "setup.py"], cwd=directory, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    (path,) = directory.glob(name + "*" + sysconfig.get_config_var("EXT_SUFFIX"))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
