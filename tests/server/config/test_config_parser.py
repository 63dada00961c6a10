"""server.config.parser: the tree, and what bounds a hostile text. What nats-server says of a text, see the corpus."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.server.config.errors import ConfigError
from midge.server.config.parser import MAX_BYTES, MAX_DEPTH, MAX_INCLUDES, MAX_REFERENCES, parse, parse_file
from midge.server.config.tree import Node


def plain(value: Any) -> Any:
    """The tree without its positions."""
    if isinstance(value, Node):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def read(text: str | bytes, environment: dict[str, str] | None = None) -> Any:
    return plain(parse(text.encode() if isinstance(text, str) else text, "f.conf", environment or {}))


def refusal(text: str | bytes, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, environment)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a = 1\nb: 2\nc 3", {"a": 1, "b": 2, "c": 3}),
        ("a: 1; b: 2, c: 3", {"a": 1, "b": 2, "c": 3}),
        ("# no\na: 1 # no\n// no\nb: 2 // no\n", {"a": 1, "b": 2}),
        ("a {b: {c 1}}", {"a": {"b": {"c": 1}}}),
        ("a: [1 , 'x', [true ], {b: 1}\n2 ]", {"a": [1, "x", [True], {"b": 1}, 2]}),
        ('{"a": {"b": [1.5, "x", false]}, "c": "d"}', {"a": {"b": [1.5, "x", False]}, "c": "d"}),
        ("a: 1\na: 2", {"a": 2}),
        ("a: yes\nb: Off\nc: TRUE", {"a": True, "b": False, "c": True}),
        (r'a: "x\x41\t\n\r\"\\"', {"a": 'xA\t\n\r"\\'}),
        (r"a: 'x\x41'", {"a": r"x\x41"}),
        ("a: (\n one\n two )\n)\nb: 1", {"a": "\n one\n two )\n", "b": 1}),
        ("a: (\nx\n)", {"a": "\nx\n)"}),  # the last parenthesis has no newline after it: nats-server takes it in
        ("a: 1k\nb: 1kb\nc: 1KiB\nd: 2m\ne: 2MB\nf: 1g\ng: 1t\nh: -3k",
         {"a": 1000, "b": 1024, "c": 1024, "d": 2_000_000, "e": 2 << 20, "f": 10**9, "g": 10**12, "h": -3000}),
        ("a: 127.0.0.1:4222\nb: 0a1b\nc: 1.5\nd: -1.5", {"a": "127.0.0.1:4222", "b": "0a1b", "c": 1.5, "d": -1.5}),
        ("a: 2006-01-02T15:04:05Z", {"a": datetime(2006, 1, 2, 15, 4, 5)}),
        ("a: $2a$11$abc", {"a": "$2a$11$abc"}),
        ("a: 'x'y: 1", {"a": "x"}),
        ("", {}),
    ],
)  # fmt: skip
def test_values(text: str, wanted: dict[str, Any]) -> None:
    if text == "a: 'x'y: 1":
        assert "Expected a top-level value to end" in refusal(text)
    else:
        assert read(text) == wanted


def test_a_variable_is_looked_for_from_the_inside_out() -> None:
    assert read("x: 1\na: {x: 2, b: {y: $x}}\nc: $x", {"x": "3"}) == {"x": 1, "a": {"x": 2, "b": {"y": 2}}, "c": 1}
    assert read("a: $x\nx: 1", {"x": "{y: [1 , 2kb ]}"}) == {"a": {"y": [1, 2048]}, "x": 1}
    assert "variable reference for 'x' on line 2 can not be found" in refusal("\na: $x")
    tree = parse(b"x: 1\ny: 2\na: $x", "f.conf", {})
    assert (tree["x"].used, tree["y"].used, tree["a"].place) == (True, False, "f.conf:3:1")


def test_the_environment_may_refer_to_itself_but_not_for_ever() -> None:
    assert read("a: $X", {"X": "$Y", "Y": "7"}) == {"a": 7}
    assert "could not be parsed: variable reference cycle for 'X'" in refusal("a: $X", {"X": "$X"}).replace("pk", "")
    many = {f"X{number}": f"$X{number + 1}" for number in range(1000)}
    assert f"more than {MAX_REFERENCES} variables" in refusal("a: $X0", many)


def test_positions_count_bytes() -> None:
    tree = parse("a: 1\n  bé: {c: 2}\n é : [ {x: 1}, 'y' ]\n".encode(), "dir/f.conf")
    assert [node.place for node in tree.values()] == ["dir/f.conf:1:0", "dir/f.conf:2:3", "dir/f.conf:3:2"]
    inner = tree["bé"].value
    assert isinstance(inner, dict) and inner["c"].place == "dir/f.conf:2:9"
    array = tree["é"].value
    assert isinstance(array, list) and [node.line for node in array] == [3, 3]


def test_includes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.conf").write_text("x: 1\ninclude sub/b.conf\nm { include './sub/c.conf' }\n")
    (tmp_path / "sub" / "b.conf").write_text("y: 2\ninclude c.conf\n")
    (tmp_path / "sub" / "c.conf").write_text("z: 3")
    tree = parse_file(str(tmp_path / "a.conf"))
    assert plain(tree) == {"x": 1, "y": 2, "z": 3, "m": {"z": 3}}
    assert tree["y"].place == f"{tmp_path}/sub/b.conf:1:0"


def test_what_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include b.conf")
    (tmp_path / "b.conf").write_text("include ./a.conf")
    with pytest.raises(ConfigError, match=r"a\.conf includes itself"):
        parse_file(str(tmp_path / "a.conf"))
    for number in range(MAX_INCLUDES + 5):
        (tmp_path / f"{number}.conf").write_text(f"include '{number + 1}.conf'")
    with pytest.raises(ConfigError, match=f"more than {MAX_INCLUDES} files"):
        parse_file(str(tmp_path / "0.conf"))


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^open {tmp_path}/no: no such file or directory$"):
        parse_file(f"{tmp_path}/no")
    with pytest.raises(ConfigError, match=f"^read {tmp_path}: is a directory$"):
        parse_file(str(tmp_path))
    with pytest.raises(ConfigError, match="invalid argument$"):
        parse_file("\0")
    os.mkfifo(tmp_path / "pipe")
    assert parse_file(str(tmp_path / "pipe")) == {}


def test_text_that_is_not_utf_8_is_refused_where_it_matters() -> None:
    assert read(b"# \xff\na: 1") == {"a": 1}
    assert refusal(b"a: \xff") == "f.conf:1:3: text that is not UTF-8"
    assert refusal(b'a: "\\xff"').endswith("text that is not UTF-8")


def test_numbers_that_do_not_fit() -> None:
    assert read("a: 9223372036854775807\nb: -9223372036854775808") == {"a": (1 << 63) - 1, "b": -(1 << 63)}
    assert read(f"a: {'0' * 10_000}5k\nb: -{'0' * 10_000}") == {"a": 5000, "b": 0}
    assert refusal("a: 9223372036854775808") == "integer '9223372036854775808' is out of the range"
    assert refusal("a: 10e") == "integer '10e' is out of the range"  # in nats-server it would become a negative number
    assert "is out of the range" in refusal(f"a: {'9' * 100_000}")
    assert "is out of the range" in refusal(f"a: {'9' * 400}.0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1٣", "expected integer, but got '1٣'"),
        ("a: 1.٣", "expected float, but got '1.٣'"),
        ("a: 200٣-01-02T03:04:05Z", "full Zulu form"),
    ],
)
def test_digits_of_other_scripts_are_digits_but_make_no_numbers(text: str, message: str) -> None:
    assert message in refusal(text)


def test_depth_is_bounded() -> None:
    assert plain(parse(b"a:" + b"{b:" * (MAX_DEPTH - 1) + b"1" + b"}" * (MAX_DEPTH - 1)))
    for text in (b"a:" + b"{b:" * 100_000, b"a: " + b"[" * 100_000, b"{" * 100_000):
        try:
            parse(text, "f.conf")
        except ConfigError as error:
            assert f"more than {MAX_DEPTH} deep" in str(error)
    nested = "x0: {a: 1}\n" + "".join(f"x{number + 1}: {{a: $x{number}}}\n" for number in range(MAX_DEPTH))
    assert "with all variables replaced" in refusal(nested)


def test_what_variables_make_of_a_small_text_is_bounded() -> None:
    laughs = "x0: aaaaaaaaaa\n" + "".join(f"x{number + 1}: [{', '.join([f'$x{number}'] * 10)} ]\n" for number in range(20))
    assert "with all variables replaced" in refusal(laughs)
    wide = f"x: '{'a' * 100_000}'\n" + "y: [\n" + "$x\n" * 10_000 + "]\n"
    assert "with all variables replaced" in refusal(wide)


def test_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "big.conf"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=f"more than {MAX_BYTES} bytes"):
        parse_file(str(path))
    path.write_bytes(b"#" * (MAX_BYTES // 2))
    (tmp_path / "two.conf").write_text("include big.conf\ninclude big.conf\ninclude big.conf")
    with pytest.raises(ConfigError, match=f"more than {MAX_BYTES} bytes"):
        parse_file(str(tmp_path / "two.conf"))


@pytest.mark.parametrize(
    "piece", [b"\n", b"a: 1\n", b"a ", b'"', b"'", b"\\", b"(\n)", b"1", b"[", b"{", b"}", b"# x\n", b"\xc3\xa9", b"a: [1 ,\n", b"1kb"]
)
def test_time_is_linear(piece: bytes) -> None:
    """Twice as much takes about twice as long; a quadratic one would take four times."""

    def took(size: int) -> float:
        text = piece * (size // len(piece))
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            with suppress(ConfigError):
                parse(b"x: (" + text if piece == b"(\n)" else text, "f.conf", {})
            best = min(best, time.process_time() - began)
        return best

    assert took(40_000) < 12 * max(took(10_000), 0.002)


@given(st.binary(max_size=60))
def test_whatever_it_is_it_is_read_or_refused(data: bytes) -> None:
    try:
        parse(data, "f.conf", {"A": "1"})
    except ConfigError as error:
        assert str(error)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def shown(value: Any) -> str:
    """The value as a configuration has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(f"{shown(each)} " for each in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


@settings(max_examples=40)
@given(st.dictionaries(TEXTS.filter(lambda key: not set(key) & set('"\\')), VALUES, max_size=4))
def test_what_is_written_is_read_again(wanted: dict[str, Any]) -> None:
    def keys_can_be_written(value: Any) -> bool:
        if isinstance(value, dict):
            return all(not set(key) & set('"\\') and keys_can_be_written(each) for key, each in value.items())
        return all(map(keys_can_be_written, value)) if isinstance(value, list) else True

    if keys_can_be_written(wanted):
        assert read("\n".join(f"{shown(key)}: {shown(value)}" for key, value in wanted.items())) == wanted
