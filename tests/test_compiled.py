"""The compiled modules: one list of them, never half of them, and the same behaviour as their plain source."""

import ast
import importlib
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire.operations import Outcome, cut, read
from wire.uncompiled import load_uncompiled

import midge

ROOT = Path(__file__).parents[1]
HEADER_ONLY = {"midge.store.cells", "midge.store.octets", "midge.wire.octets"}
calm = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])


def modules_in_setup() -> list[str]:
    """The list MODULES of setup.py, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py has no MODULES")


def modules_with_types() -> set[str]:
    """The modules that have a .pxd beside them."""
    found = {path.relative_to(ROOT / "src").with_suffix("") for path in (ROOT / "src").glob("midge/**/*.pxd") if path.stem != "__init__"}
    return {".".join(path.parts) for path in found}


def is_extension(name: str) -> bool:
    """True if the module was loaded from an extension file."""
    return (importlib.import_module(name).__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))


def test_setup_lists_exactly_the_modules_with_types() -> None:
    assert len(set(modules_in_setup())) == len(modules_in_setup())
    assert set(modules_in_setup()) == modules_with_types() - HEADER_ONLY


@pytest.mark.parametrize("name", sorted(modules_with_types()))
def test_types_have_a_source(name: str) -> None:
    assert (ROOT / "src").joinpath(*name.split(".")).with_suffix(".py").exists()


@pytest.mark.parametrize("name", modules_in_setup())
def test_compiled_tells_the_truth(name: str) -> None:
    """Either all modules or none: typed and untyped objects do not mix."""
    assert is_extension(name) is midge.compiled


@pytest.mark.parametrize("name", sorted(HEADER_ONLY | {"midge._nocython", "midge.errors", "midge.server.options"}))
def test_the_rest_is_never_compiled(name: str) -> None:
    assert not is_extension(name)


def test_nothing_imports_cython_at_run_time() -> None:
    code = "import midge, sys; print(sorted({'cython', 'Cython'} & {name.partition('.')[0] for name in sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# The same behaviour: each stream goes through the compiled module and through its plain source, in this process.

WIRE = ("outbox", "publication", "encoder", "parser")
plain_outbox, plain_publication, plain_encoder, plain_parser = load_uncompiled(*(f"midge.wire.{name}" for name in WIRE))
outbox, publication, encoder, parser = (importlib.import_module(f"midge.wire.{name}") for name in WIRE)
only_compiled = pytest.mark.skipif(not midge.compiled, reason="nothing is compiled here that could differ from its source")

NAMES = st.sampled_from([b"a", b"orders.new", b"$JS.API", b"\xff\x00", b"*"]) | st.binary(min_size=1, max_size=12)
FRAGMENTS = st.one_of(
    st.sampled_from([b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"MSG ", b"HMSG ", b"CONNECT ", b"INFO ", b"PING", b"PONG", b"+OK", b"-ERR "]),
    st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\r\n", b"a", b"1", b"5", b"-1", b"+5", b"\x00", b"pub\t", b"hello", b"x" * 40]),
    st.sampled_from([b"9" * 9, b"9" * 10, b"9" * 20, b"0000000001", b"000000001"]),
    st.sampled_from([b"PUB a 5\r\nhello\r\n", b"PUB a r 5\nhello\r\n", b"HPUB a 2 5\r\nhello\r\n", b"HMSG anything\r\n\r\n"]),
    st.sampled_from([b"MSG a 1 5\r\nhello\r\n", b"HMSG a 1 r 2  5\r\nhello\r\n", b"INFO {}\r\n", b"PING\r\n", b"-ERR 'x'\r\n"]),
    st.sampled_from([b'CONNECT {"verbose":false}\r\n', b"SUB a q 1\r\n", b"UNSUB 1 5\r\n"]),
    st.binary(max_size=4),
)
OFFSETS = ("subject_start", "subject_end", "reply_start", "reply_end", "tail_start", "header_size", "payload_start", "payload_end", "end")
STREAMS = st.lists(FRAGMENTS, max_size=10).map(b"".join)
PLACES = st.lists(st.integers(0, 100), max_size=6)


def test_the_plain_source_is_plain() -> None:
    for module in (plain_outbox, plain_publication, plain_encoder, plain_parser):
        assert (module.__file__ or "").endswith(".py")
    assert plain_encoder.Outbox is plain_outbox.Outbox
    assert (plain_parser.Parser is parser.Parser) is False


@only_compiled
@calm
@given(st.booleans(), STREAMS, PLACES, st.booleans(), st.booleans())
def test_parsers_agree(is_server: bool, stream: bytes, places: list[int], headers: bool, connect_only: bool) -> None:
    pieces = cut(stream, [place for place in places if place < len(stream)])
    outcomes: list[Outcome] = []
    parsers: list[Any] = []
    for module in (parser, plain_parser):
        one = module.Parser(is_server, 30, 40)
        one.set_headers(headers)
        one.set_connect_only(connect_only)
        outcomes.append(read(one, pieces, is_server=is_server))
        parsers.append(one)
    assert outcomes[0] == outcomes[1]
    assert len(parsers[0].buf) == len(parsers[1].buf)
    found, reason, _ = outcomes[0]
    if reason is None and found and found[-1].payload:
        for name in OFFSETS:
            assert getattr(parsers[0].publication, name) == getattr(parsers[1].publication, name), name


COMPOSED = st.tuples(NAMES, st.just(b"") | NAMES, st.just(b"") | st.binary(max_size=20), st.binary(max_size=6000))
STEPS = st.one_of(
    st.tuples(st.just("put_line"), st.tuples(st.binary(max_size=30))),
    st.tuples(st.just("put_publish"), st.tuples(NAMES, st.none() | NAMES, st.none() | st.binary(max_size=20), st.binary(max_size=6000))),
    st.tuples(st.sampled_from(["put_stripped", "put_message"]), st.tuples(COMPOSED, NAMES)),
    st.tuples(st.just("advance"), st.tuples(st.floats(0, 1))),
    st.tuples(st.sampled_from(["clear", "take"]), st.just(())),
    st.tuples(st.sampled_from(["reserve"]), st.tuples(st.integers(0, 9000))),
    st.tuples(st.just("write"), st.tuples(st.binary(max_size=5000))),
)  # fmt: skip


def act(out: Any, name: str, arguments: tuple[Any, ...], functions: Any, publications: Any) -> Any:
    """Do one step to an outbox of one side; return what it answers."""
    if name in ("put_stripped", "put_message"):
        return getattr(functions, name)(out, publications.Publication.compose(*arguments[0]), arguments[1])
    if name.startswith("put_"):
        return getattr(functions, name)(out, *arguments)
    if name == "advance":
        return out.advance(int(arguments[0] * len(out)))
    if name == "take":
        block, size = out.take()
        return bytes(block[:size])
    return getattr(out, name)(*arguments)


@only_compiled
@calm
@given(st.lists(STEPS, max_size=12))
def test_outboxes_and_encoders_agree(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    ours, theirs = outbox.Outbox(), plain_outbox.Outbox()
    for name, arguments in steps:
        answers = act(ours, name, arguments, encoder, publication), act(theirs, name, arguments, plain_encoder, plain_publication)
        assert answers[0] == answers[1]
        assert (len(ours), ours.start, ours.fill, ours.size) == (len(theirs), theirs.start, theirs.fill, theirs.size)
        assert [bytes(view) for view in ours.views()] == [bytes(view) for view in theirs.views()]
