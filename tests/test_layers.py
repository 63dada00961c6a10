"""Who may import whom (docs/architecture.md): read from the sources, so that every import counts, also one inside a function.

Each module belongs to exactly one row of ``RULES``; a new module needs a row before it may exist. Tools above the library
(the command line, the blocking face, test helpers) may import anything.
"""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[1] / "src"
IMPURE = {"asyncio", "concurrent", "multiprocessing", "random", "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading",
          "time"}  # fmt: skip


class Rule(NamedTuple):
    """What modules may import: of midge (patterns), and of what is not in the standard library."""

    modules: str
    midge: str = ""
    others: str = ""
    pure: bool = True  # no asyncio, no sockets, no threads, no clock, no dice


BELOW = "errors events subject transform message nuid nkeys model model.* jetstream_errors quote durations"
CLIENT_CORE = (
    "client.states client.session client.interest client.encoder client.room client.servers client.pool client.handshake "
    "client.options client.refusals client.tls_config client.secrets client.ws_options"
)
SERVER_CORE = (
    "server.access server.access_checks server.account server.account_options server.accounts server.admission server.advice "
    "server.agreements server.auth server.certificate server.chance server.client_info server.closed server.complaints server.config "
    "server.config.* server.connect server.given server.gotext server.guard server.hooks server.hub server.identity server.info "
    "server.inlet server.jetstream_options server.labels server.latency server.listener_options server.mapping server.message_trace "
    "server.monitor_connz server.monitor_jsz server.monitor_pages server.monitor_queries server.monitor_state server.monitor_views "
    "server.options server.origins server.passwords server.patterns server.peer server.permissions server.pieces server.publishing "
    "server.reasons server.reload server.results server.route server.sending server.service_imports server.session server.snappy "
    "server.stem server.stream_imports server.sublist server.subscribing server.tls_names server.tokens server.trace server.trace_headers "
    "server.tracer server.watch"
)
SERVER_DRIVERS = (
    "server.calls server.connection server.connections server.dice server.inspection server.lame_duck server.listener server.lobby "
    "server.ports server.tls server.tls_arrival server.turns server.usage server.verdicts server.websocket"
)
RULES = [
    Rule("errors nuid _nocython _version"),
    Rule("subject message", "errors"),
    Rule("events transform jetstream_errors quote"),
    Rule("durations", "quote"),
    Rule("model model.*", "errors model model.*", "msgspec"),
    Rule("nkeys", "errors", "cryptography"),
    Rule("wire wire.*", "wire.* errors subject message"),
    Rule("link.deadlines"),
    Rule("link.framing", "wire.octets wire.outbox errors"),
    Rule("link.deflate", "errors"),
    Rule("link.upgrade"),
    Rule("link.client_upgrade", "link.upgrade errors", "websockets"),
    Rule("link.server_upgrade", "link.upgrade errors"),
    Rule("link link.*", "link link.* wire.outbox errors", pure=False),
    Rule(CLIENT_CORE, f"wire.* {CLIENT_CORE} {BELOW}", "msgspec"),
    Rule(
        "client.connection client.attempt client.backlog client.dial client.driver client.exchange client.farewell client.search "
        "client.migration client.websocket",
        f"link link.* wire.* client.* {BELOW}",
        pure=False,
    ),
    Rule("client.credentials", f"client.callbacks {CLIENT_CORE} {BELOW}", pure=False),
    Rule("client client.client", f"_version client.* jetstream.context {BELOW}", pure=False),
    Rule("client.connect client.publisher client.subscription", f"_version client.* {BELOW}", pure=False),
    Rule("client.consumers client.replies", f"client.* {BELOW}", pure=False),
    Rule("client.reporter client.requests client.home client.tls", f"client.* {BELOW}", pure=False),
    Rule("client.callbacks client.event_stream client.hearing client.suspects client.teller", f"client.* {BELOW}", pure=False),
    Rule("store.commit store.folder store.segment", "store.* wire.octets errors", pure=False),  # threads: workers, and what they open
    Rule("store store.*", "store.* wire.octets wire.publication errors"),
    Rule("engine engine.snapshots.restore engine.snapshots.snapshot", f"engine.* store.* wire.* {BELOW}", "msgspec"),
    Rule(
        "jetstream.entity jetstream.configs jetstream.infos jetstream.names jetstream.ttl jetstream.schedule jetstream.errors "
        "jetstream.setup jetstream.message jetstream.statuses",
        f"jetstream.* client.room {BELOW}",
        "msgspec",
    ),
    Rule("jetstream jetstream.*", f"jetstream.* client.* {BELOW}", "msgspec", pure=False),
    Rule("engine engine.*", f"engine.* store.* wire.octets wire.publication {BELOW}", "msgspec"),
    Rule("server.closed server.connect server.gotext server.hub server.pieces", f"wire.* {SERVER_CORE} {BELOW}", "msgspec"),
    Rule("server.passwords", f"{SERVER_CORE} {BELOW}", "bcrypt"),
    Rule("server.certificate server.monitor_connz", f"{SERVER_CORE} {BELOW}", "cryptography"),
    Rule(SERVER_CORE, f"wire.* {SERVER_CORE} {BELOW}"),
    Rule(SERVER_DRIVERS, f"link link.* wire.* {SERVER_CORE} {SERVER_DRIVERS} {BELOW}", pure=False),
    Rule("server.damage_log", "store.recovery"),
    Rule("server.thread", "", "uvloop", pure=False),
    Rule("server.jetstream", f"wire.* server.damage_log server.thread {SERVER_CORE} {SERVER_DRIVERS} engine.* store.* {BELOW}", pure=False),
    Rule("server server.server server.announcement server.monitor", f"link link.* wire.* server.* engine.* store.* {BELOW}", pure=False),
    Rule("__init__ __main__ cli cli.* sync testing pytest_plugin", "*", "*", pure=False),
]


def name_of(path: Path) -> str:
    """The name of a module inside the package; the package itself is "__init__"."""
    parts = path.relative_to(SOURCE / "midge").with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.glob("midge/**/*.py"))}
each_module = pytest.mark.parametrize("name", MODULES)


def is_one_of(name: str, patterns: str) -> bool:
    """True if one of the patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def rule_of(name: str) -> Rule:
    """The first row that names the module."""
    return next((rule for rule in RULES if is_one_of(name, rule.modules)), Rule(name))


@cache
def imports(path: Path) -> list[str]:
    """Every module that a source imports, by its full name; a cimport counts as an import."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{path}:{node.lineno}: imports are absolute"
            module = node.module.removeprefix("cython.cimports.")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner.removeprefix("midge.") in MODULES else module


def of_midge(path: Path) -> set[str]:
    """The modules of midge that a source imports."""
    found = {name for name in imports(path) if name.partition(".")[0] == "midge"}
    return {"__init__" if name == "midge" else name.removeprefix("midge.") for name in found}


def test_the_sources_are_here() -> None:
    assert {"errors", "wire.parser", "server.session", "client.session", "__init__"} <= set(MODULES)


@each_module
def test_has_a_row(name: str) -> None:
    assert any(is_one_of(name, rule.modules) for rule in RULES), f"midge.{name} belongs to no layer: give it a row in RULES"


@each_module
def test_imports_only_its_layer_and_those_below(name: str) -> None:
    rule = rule_of(name)
    wrong = {module for module in of_midge(MODULES[name]) if not is_one_of(module, f"_nocython {rule.midge}")}
    assert not wrong, f"midge.{name} may not import {', '.join(sorted(wrong))}"


@each_module
def test_imports_nothing_foreign(name: str) -> None:
    rule = rule_of(name)
    tops = {module.partition(".")[0] for module in imports(MODULES[name])}
    foreign = {top for top in tops - sys.stdlib_module_names - {"midge", "cython", "cpython"} if not is_one_of(top, rule.others)}
    assert not foreign, f"midge.{name} may not import {', '.join(sorted(foreign))}"


@each_module
def test_a_pure_module_has_no_sockets_no_threads_no_clock_and_no_dice(name: str) -> None:
    if rule_of(name).pure:
        tops = {module.partition(".")[0] for module in imports(MODULES[name])}
        assert not tops & IMPURE, f"midge.{name} is pure and may not import {', '.join(sorted(tops & IMPURE))}"


@each_module
def test_client_and_server_never_import_each_other(name: str) -> None:
    wanted = of_midge(MODULES[name])
    if is_one_of(name, "client client.* jetstream jetstream.* service"):
        assert not [module for module in wanted if is_one_of(module, "server server.* engine engine.* store store.*")]
    if is_one_of(name, "server server.* engine engine.* store store.*"):
        assert not [module for module in wanted if is_one_of(module, "client client.* jetstream jetstream.* service")]


def test_only_the_drivers_know_the_link() -> None:
    users = {name for name, path in MODULES.items() if [module for module in of_midge(path) if is_one_of(module, "link link.*")]}
    assert {name for name in users if not is_one_of(name, "link link.*")} <= {
        "client.attempt", "client.driver", "client.websocket", "server.connection", "server.listener", "server.lobby", "server.ports",
        "server.connections", "server.server", "server.tls_arrival", "server.turns", "server.websocket",
    }  # fmt: skip


@each_module
def test_cython_is_imported_only_for_the_type_checker(name: str) -> None:
    """Everything that a program runs gets the stand-in, so nobody needs Cython installed."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "cython.compiled":
            node.body = [ast.Pass()]
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [found for found in names if found.partition(".")[0].lower() == "cython"]


def test_nobody_imports_in_a_circle() -> None:
    """Imports for the type checker do not count: they do not happen."""

    def wanted(name: str) -> set[str]:
        tree = ast.parse(MODULES[name].read_text("utf-8"))
        later = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        later += [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]  # type: ignore[misc]
        for node in later:
            node.body = [ast.Pass()]
        found = {module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for module in targets(node)}
        return found & set(MODULES)

    def targets(node: ast.ImportFrom) -> Iterator[str]:
        module = (node.module or "").removeprefix("cython.cimports.").removeprefix("midge.")
        for alias in node.names:
            yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module

    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in sorted(wanted(name)):
                visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())
