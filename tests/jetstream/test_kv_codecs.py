"""Codecs: what they write, as orbit.go does; and buckets that use them."""

from __future__ import annotations

import pytest
from bucket_worlds import bucket, first_of
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.jetstream.caught_up import CAUGHT_UP
from midge.jetstream.key_value.codecs import Base64Codec, KeyChain, NoOpCodec, PathCodec, ValueChain, encode_filter
from midge.jetstream.key_value.errors import CodecError


class Reversed:
    """A codec of keys and values that knows nothing of filters."""

    def encode_key(self, key: str) -> str:
        return key[::-1]

    decode_key = encode_key

    def encode_value(self, value: bytes) -> bytes:
        return value[::-1]

    decode_value = encode_value


def test_base64_is_by_token_and_without_padding() -> None:
    codec = Base64Codec()
    assert codec.encode_key("Acme Inc.contact") == "QWNtZSBJbmM.Y29udGFjdA"
    assert codec.decode_key("QWNtZSBJbmM.Y29udGFjdA") == "Acme Inc.contact"
    assert codec.encode_filter("Acme Inc.*.>") == "QWNtZSBJbmM.*.>"
    assert codec.encode_value(b"\xff\xfe") == b"__4" and codec.decode_value(b"__4") == b"\xff\xfe"


@pytest.mark.parametrize(
    ("path", "key", "back"),
    [
        ("user/profile/settings", "user.profile.settings", None),
        ("/user/profile", "_root_.user.profile", None),
        ("/", "_root_", None),
        ("a/b/", "a.b", "a/b"),
        ("plain", "plain", None),
    ],
)
def test_paths_become_keys(path: str, key: str, back: str | None) -> None:
    codec = PathCodec()
    assert codec.encode_key(path) == key and codec.decode_key(key) == (back or path)


def test_paths_with_wildcards_become_filters() -> None:
    assert PathCodec().encode_filter("/user/*/>") == "_root_.user.*.>"


def test_a_chain_encodes_in_order_and_decodes_in_reverse() -> None:
    chain = KeyChain(PathCodec(), Base64Codec())
    assert chain.encode_key("/my docs/a") == "X3Jvb3Rf.bXkgZG9jcw.YQ"
    assert chain.decode_key("X3Jvb3Rf.bXkgZG9jcw.YQ") == "/my docs/a"
    assert chain.encode_filter("/my docs/*") == "X3Jvb3Rf.bXkgZG9jcw.*"
    values = ValueChain(Reversed(), Base64Codec())
    assert values.encode_value(b"abc") == b"Y2Jh" and values.decode_value(b"Y2Jh") == b"abc"
    for empty in (KeyChain, ValueChain):
        with pytest.raises(ValueError, match="one codec or more"):
            empty()


def test_a_codec_without_filters_writes_keys_and_all() -> None:
    assert encode_filter(Reversed(), "a.b") == "b.a" and encode_filter(Reversed(), ">") == ">"
    assert encode_filter(NoOpCodec(), "a.*") == "a.*"
    for codec in (Reversed(), KeyChain(PathCodec(), Reversed())):
        with pytest.raises(CodecError, match="Reversed has no encode_filter"):
            encode_filter(codec, "a.*")


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"])), st.binary())
def test_base64_gives_back_what_it_got(token: str, value: bytes) -> None:
    codec = Base64Codec()
    assert codec.decode_key(codec.encode_key(token)) == token and codec.decode_value(codec.encode_value(value)) == value


async def test_a_bucket_with_codecs(url: str) -> None:
    async with bucket(url, history=3) as plain:
        kv = plain.with_codecs(KeyChain(PathCodec(), Base64Codec()), Base64Codec())
        await kv.put("/etc/my hosts", b"one")
        await kv.create("/etc/passwd", "two")
        await kv.put("/var/log", b"three")
        assert (await kv.get("/etc/my hosts"))[:3] == (plain.bucket, "/etc/my hosts", b"one")
        assert (await plain.get("X3Jvb3Rf.ZXRj.cGFzc3dk")).value == b"dHdv"
        assert sorted([key async for key in kv.keys("/etc/*")]) == ["/etc/my hosts", "/etc/passwd"]
        assert [(e.key, e.value) for e in await kv.history("/var/log")] == [("/var/log", b"three")]
        await kv.delete("/var/log")
        async with kv.watch("/var/>") as watcher:
            (entry,) = await first_of(watcher)
            assert (entry.key, entry.value, entry.operation) == ("/var/log", b"", "DEL")
        assert await kv.purge_deletes(0) == 2


async def test_a_key_with_the_looks_of_a_filter_has_a_history_of_its_own(url: str) -> None:
    async with bucket(url, history=3) as plain:
        kv = plain.with_codecs(Base64Codec())
        for key in ("*", "a", ">"):
            await kv.put(key, key)
        for key in ("*", "a", ">"):
            assert [(entry.key, entry.value) for entry in await kv.history(key)] == [(key, key.encode())]


async def test_what_a_codec_cannot_read_is_an_error_of_that_entry(url: str) -> None:
    async with bucket(url) as plain:
        kv = plain.with_codecs(values=Base64Codec())
        await plain.put("a", b"no base64!")
        await kv.put("b", b"fine")
        with pytest.raises(CodecError, match="the codec cannot decode the value of 'a'") as caught:
            await kv.get("a")
        assert caught.value.__cause__ is not None
        async with kv.watch() as watcher:
            with pytest.raises(CodecError):
                await watcher.next(5)
            entry = await watcher.next(5)
            assert entry is not CAUGHT_UP and entry.value == b"fine"
            assert await watcher.next(5) is CAUGHT_UP
