"""Frames: taken apart however the network cuts them, and put together as the ``websockets`` library reads them; hostile ones refused."""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from midge.errors import RemoteProtocolError
from midge.link.framing import BINARY, CLOSE, CONTROL, DATA, DEFLATED, NOTHING, PING, PONG, FrameReader, put_frame
from midge.wire.outbox import Outbox

calm = settings(deadline=None, max_examples=200)
Parts = list[tuple[int, bytes]]


def serialize(frame: Frame, masked: bool) -> bytes:
    return frame.serialize(mask=masked)


def read(reader: FrameReader, data: bytes, cuts: list[int] = []) -> tuple[bytes, Parts]:  # noqa: B006
    """Feed data, cut at these places; return what is data in it, and the control frames with how much data came before each."""
    received = bytearray()
    controls = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in zip(edges, edges[1:]):
        chunk = bytearray(b"??" + data[start:stop] + b"??")
        reader.receive(chunk, 2, 2 + stop - start)
        filled = 0
        while (found := reader.next()) != NOTHING:
            if found == DATA:
                filled = reader.move_to(filled)
            else:
                assert found == CONTROL
                controls.append((reader.opcode, reader.control))
        received += chunk[:filled]
    return bytes(received), controls


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bool, bytes, Parts]:
    """A stream of valid frames, if they are masked, the data in them, and the control frames."""
    masked = draw(st.booleans())
    stream, data = b"", b""
    controls = []
    in_message = False
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            opcode = draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
            payload = draw(st.binary(max_size=125))
            controls.append((int(opcode), payload))
            stream += serialize(Frame(opcode, payload), masked)
        else:
            size = draw(st.sampled_from([0, 1, 3, 125, 126, 127, 300, 65535, 65536]))
            payload = bytes(i * 7 % 251 for i in range(size))
            fin = draw(st.booleans())
            stream += serialize(Frame(Opcode.CONT if in_message else Opcode.BINARY, payload, fin), masked)
            in_message = not fin
            data += payload
    return stream, masked, data, controls


@calm
@given(streams(), st.lists(st.integers(0, 200_000), max_size=12))
def test_frames_are_taken_apart_wherever_they_are_cut(stream: tuple[bytes, bool, bytes, Parts], cuts: list[int]) -> None:
    data, masked, payload, controls = stream
    assert read(FrameReader(masked, False), data, cuts) == (payload, controls)


@pytest.mark.parametrize("masked", [False, True])
def test_every_split_of_a_stream_in_two_and_into_single_bytes(masked: bool) -> None:
    frames = [
        Frame(Opcode.BINARY, b"PUB a 1\r\n", False), Frame(Opcode.PING, b"are you there"), Frame(Opcode.CONT, b"", False),
        Frame(Opcode.CONT, b"x\r\n"), Frame(Opcode.BINARY, b"y" * 200), Frame(Opcode.PONG, b""), Frame(Opcode.BINARY, b""),
        Frame(Opcode.CLOSE, b"\x03\xe8bye"),
    ]  # fmt: skip
    stream = b"".join(serialize(frame, masked) for frame in frames)
    expected = b"PUB a 1\r\nx\r\n" + b"y" * 200, [(PING, b"are you there"), (PONG, b""), (CLOSE, b"\x03\xe8bye")]
    for cut in range(len(stream)):
        assert read(FrameReader(masked, False), stream, [cut]) == expected
    assert read(FrameReader(masked, False), stream, list(range(len(stream)))) == expected


def test_what_belongs_to_which_message() -> None:
    """Deflated ones are told from others, and their ends are told, also where the last frame is empty."""
    frames = [
        (Frame(Opcode.BINARY, b"aa", False, rsv1=True), b"aa", True, False), (Frame(Opcode.CONT, b"", True), b"", True, True),
        (Frame(Opcode.BINARY, b"bb", True), b"bb", False, True), (Frame(Opcode.BINARY, b"c", True, rsv1=True), b"c", True, True),
    ]  # fmt: skip
    reader = FrameReader(False, True)
    for frame, payload, deflated, ends in frames:
        data = bytearray([frame.opcode | frame.fin << 7 | frame.rsv1 << 6, len(payload)]) + payload
        reader.receive(data, 0, len(data))
        assert reader.next() == DATA
        assert (data[reader.start : reader.stop], reader.deflated, reader.ends) == (payload, deflated, ends)
        assert reader.next() == NOTHING


@pytest.mark.parametrize(
    "head, reason",
    [
        (b"\x81\x01a", "text frame"),
        (b"\x83\x00", "opcode 3 is reserved"),
        (b"\x87\x00", "opcode 7 is reserved"),
        (b"\x8b\x00", "opcode 11 is reserved"),
        (b"\xc2\x01a", "reserved bit"),
        (b"\xa2\x01a", "reserved bit"),
        (b"\x92\x01a", "reserved bit"),
        (b"\xc9\x00", "reserved bit"),
        (b"\x80\x01a", "continues nothing"),
        (b"\x02\x01a\x82\x01b", "before the one before has ended"),
        (b"\x09\x00", "fragmented"),
        (b"\x89\x7e\x00\x7e", "126 bytes"),
        (b"\x88\x7f\x00\x00\x00\x01\x00\x00\x00\x00", "4294967296 bytes"),
        (b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "63 bits"),
        (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "63 bits"),
        (b"\x82\x81abcda", "that is masked"),
    ],
)
def test_what_a_server_must_not_send(head: bytes, reason: str) -> None:
    for behind in (b"", b"more" * 10):
        with pytest.raises(RemoteProtocolError, match=reason):
            read(FrameReader(False, False), head + behind)
        with pytest.raises(RemoteProtocolError, match=reason):
            read(FrameReader(False, False), head + behind, list(range(40)))


def test_a_client_must_mask() -> None:
    with pytest.raises(RemoteProtocolError, match="not masked"):
        read(FrameReader(True, False), b"\x82\x01a")


def test_the_bit_of_a_deflated_message_stands_on_its_first_frame_only() -> None:
    with pytest.raises(RemoteProtocolError, match="reserved bit"):
        read(FrameReader(False, True), b"\x42\x01a\xc0\x01b")


def test_a_text_frame_has_a_status_of_its_own() -> None:
    for head, status in ((b"\x81\x00", 1003), (b"\x83\x00", 1002)):
        reader = FrameReader(False, False)
        with pytest.raises(RemoteProtocolError):
            read(reader, head)
        assert reader.close_code == status


def test_a_frame_may_announce_more_than_there_is_memory_for() -> None:
    """What comes of it is handed over as it comes; nothing is set aside for what may follow."""
    reader = FrameReader(False, False)
    assert read(reader, b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" + b"abc") == (b"abc", [])
    for _ in range(3):
        assert read(reader, b"x" * 100_000) == (b"x" * 100_000, [])


def parse(data: bytes, masked: bool) -> Frame:
    """One frame, as the library reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parser: Generator[None, None, Any] = Frame.parse(reader.read_exact, mask=masked)
    try:
        next(parser)
    except StopIteration as done:
        frame: Frame = done.value
        assert not reader.buffer
        return frame
    raise AssertionError("the frame is not whole")


@calm
@given(
    st.binary(max_size=300) | st.sampled_from([125, 126, 65535, 65536, 131072]).map(bytes), st.none() | st.binary(min_size=4, max_size=4)
)
def test_a_frame_is_what_the_library_reads(payload: bytes, key: bytes | None) -> None:
    out = Outbox()
    put_frame(out, BINARY, bytearray(b"<<" + payload + b">>"), 2, 2 + len(payload), key)
    frame = parse(out.take_all(), key is not None)
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.BINARY, True, payload)


def test_frames_follow_each_other_in_an_outbox() -> None:
    out = Outbox()
    for number in range(2000):
        put_frame(out, PONG if number % 3 else BINARY, bytearray(b"%d" % number), 0, len(b"%d" % number), b"abcd")
    data, controls = read(FrameReader(True, False), out.take_all())
    assert data == b"".join(b"%d" % number for number in range(0, 2000, 3)) and len(controls) == 1333


def test_a_deflated_frame_has_the_bit() -> None:
    out = Outbox()
    put_frame(out, BINARY | DEFLATED, bytearray(b"abc"), 0, 3, None)
    assert out.take_all() == b"\xc2\x03abc"
