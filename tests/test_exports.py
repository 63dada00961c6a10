"""What is public: every module says it in ``__all__``, and the package re-exports it once, in order."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import midge

NAMES = sorted(module.name for module in pkgutil.walk_packages(midge.__path__, "midge."))
MODULES = [name for name in NAMES if not name.rpartition(".")[2].startswith("_")]


def load(name: str) -> ModuleType:
    """Import a module; those of an extra that is not installed are skipped."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "midge":
            raise
        pytest.skip(f"{name} needs {error.name}")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_is_public(name: str) -> None:
    module = load(name)
    if hasattr(module, "__path__") and not hasattr(module, "__all__"):
        assert not [public for public, value in vars(module).items() if public[0] != "_" and not isinstance(value, ModuleType)]
        return
    public = module.__all__
    assert isinstance(public, list) and len(set(public)) == len(public)
    assert not [missing for missing in public if not hasattr(module, missing)]


@pytest.mark.parametrize("name", MODULES)
def test_a_public_class_or_function_has_a_docstring_and_a_home(name: str) -> None:
    """What a module calls public is its own, not something it has imported."""
    for public in getattr(module := load(name), "__all__", []):
        value = getattr(module, public)
        if callable(value) and getattr(value, "__module__", "").partition(".")[0] == "midge":
            assert value.__module__ == name or (hasattr(module, "__path__") and value.__module__.startswith(name + ".")), public
            assert value.__doc__, public


def test_the_package_is_sorted() -> None:
    assert midge.__all__ == sorted(midge.__all__)
    assert len(set(midge.__all__)) == len(midge.__all__)


@pytest.mark.parametrize("name", midge.__all__)
def test_a_name_of_the_package_can_be_used(name: str) -> None:
    assert getattr(midge, name) is not None


def test_a_name_of_the_package_is_imported_once_and_nothing_else_is() -> None:
    assert midge.__file__ is not None
    with open(midge.__file__, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    imported = [alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(set(imported)) == len(imported)
    assert {name for name in imported if not name.startswith("_") or name in midge.__all__} == set(midge.__all__) - {"compiled"}


ALIASES = {"Callback", "ErrorCallback", "EventCallback", "HeadersLike"}  # types that have a name, but no module of their own


@pytest.mark.parametrize("name", [name for name in midge.__all__ if name not in ("__version__", "compiled", "events")])
def test_a_name_of_the_package_has_one_home(name: str) -> None:
    """It comes from the module that defines it and calls it public there; no other module claims it too."""
    value = getattr(midge, name)
    homes = [home for home in MODULES if not hasattr(module := load_or_none(home), "__path__") and name in getattr(module, "__all__", [])]
    same = [home for home in homes if getattr(load(home), name) is value]
    assert same == [value.__module__] or (name in ALIASES and len(same) == 1)


def load_or_none(name: str) -> ModuleType | None:
    """The module, or None where an extra is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def test_the_names_of_jetstream_are_sorted_and_wrong_ones_are_errors() -> None:
    import midge.jetstream

    assert midge.jetstream.__all__ == sorted(midge.jetstream.__all__) and set(midge.jetstream.__all__) <= set(dir(midge.jetstream))
    assert set(load("midge.jetstream.errors").__all__) - {"error_of"} <= set(midge.jetstream.__all__)
    with pytest.raises(AttributeError, match="module 'midge.jetstream' has no attribute 'nothing'"):
        getattr(midge.jetstream, "nothing")  # noqa: B009


def test_every_error_is_re_exported() -> None:
    from midge import errors

    assert set(errors.__all__) <= set(midge.__all__)


def test_the_server_program_imports_only_what_every_server_needs() -> None:
    """Whoever starts it waits for the imports: no client, and no monitoring, configuration, TLS or WebSockets before they are asked for."""
    code = "import sys, midge.cli.serve; print(*(name for name in sys.modules if name.startswith('midge.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = run.stdout.split()
    unwanted = ("midge.client.", "midge.server.monitor", "midge.server.tls_arrival", "midge.server.websocket", "midge.link.deflate")
    assert [name for name in loaded if name.startswith(unwanted)] == []
    assert not {"midge.server.config.load", "midge.server.config.lexer", "midge.server.config.tls", "midge.server.tls"} & set(loaded)


def test_a_command_that_talks_to_a_server_imports_none() -> None:
    """Nor what draws tables before there is one, nor the library's JetStream where the server's own JSON is all that it shows."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    code = "import sys, midge.cli; midge.cli.main(['stream', 'list', '-s', 'nats://127.0.0.1:1']); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "could not connect" in run.stderr
    loaded = set(run.stdout.split())
    assert "midge.client.client" in loaded
    assert not {"midge.server.server", "midge.server.hub", "midge.engine", "midge.jetstream.context", "rich.console"} & loaded


def test_a_name_of_the_client_or_the_server_that_is_not_imported_yet_can_be_seen_and_a_wrong_one_is_an_error() -> None:
    assert set(midge.__all__) <= set(dir(midge))
    with pytest.raises(AttributeError, match="module 'midge' has no attribute 'nothing'"):
        getattr(midge, "nothing")  # noqa: B009
