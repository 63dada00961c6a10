"""TlsLink: TLS over a connected TCP socket, driven by readiness like the plain link that it extends. Either side's end.

    socket ── recv ──► chunk ──► _incoming ──► engine ──► chunk ──► owner
    socket ◄── send ── _sealed ◄── _outgoing ◄── engine ◄── the outbox's memory

The engine (``ssl.SSLObject``) never touches the socket, so it never wants to write in order to read, or the other way round, and what
a peer can make it do in one call is bounded by what it was fed. Whatever it has to say, an alert, an answer to a KeyUpdate, session
tickets, goes through ``_sealed``, in order with the data. What is sealed stays in the outbox until the socket has taken the record
that holds it: an outbox still tells what is not sent. Who cuts the outbox of a link that is blocked has to leave what is ``begun``, or to
close the link.

The engine is fed with whole records; what is incomplete is kept (``_tail``) and goes before the next reading. Whatever one reading takes
is opened and handed over at once, so nothing waits in the engine that no socket would wake us for. The exceptions, what came with the
end of the handshake and the end itself, are ``_left``: a deferred call comes back for them.

A record without data that is no end, most of all a KeyUpdate, is work for us, and cheap for a peer. So these are counted: a few are
free, and then there must be data between them.

While the handshake lasts the link is blocked; its end is told as progress (``secured``). A connection that ends without TLS's own
end (close_notify) may have been cut by anybody: that is an error, and not the end that ``link_lost(None)`` stands for.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING

from midge.errors import CertificateError, TLSError
from midge.link import LinkOwner, Readiness

if TYPE_CHECKING:
    import cython
else:
    from midge import _nocython as cython

if cython.compiled:
    from cython.cimports.midge.link.socket import SocketLink
    from cython.cimports.midge.wire.outbox import Outbox
else:
    from midge.link.socket import SocketLink
    from midge.wire.outbox import Outbox

__all__ = ["TlsLink", "tls_error"]

RECORD = 16384  # bytes of data that a record holds at most
OVERHEAD = 5 + 256  # header, padding and tag
FEED = RECORD  # bytes that the engine is fed with at once, or one record more; its memory for that stays as large as it once was
FEED_RECORDS = 64  # and how many records
HANDSHAKE_SIZE = 4096  # bytes that are read at once during the handshake
SEAL = 8 * RECORD  # what is sealed at once
MAX_RECORDS = 16  # what is sent at once
OWED = 16384  # bytes of records without data that may wait for a peer who does not read them; then nothing more is read of it
OTHER_COST = 16  # records with data that a peer has to send for each without
PATIENCE = 64 * OTHER_COST  # and how many of those it has in advance
CUT = "the connection was closed without an end of TLS: it may have been cut"
_RECORD = RECORD
_FEED = FEED
_FEED_RECORDS = FEED_RECORDS
_SEAL = SEAL
_MAX_RECORDS = MAX_RECORDS
_OWED = OWED
_PATIENCE = PATIENCE


class TlsLink(SocketLink):
    """A non-blocking TCP socket with TLS over it.

    Args:
        readiness, write_deadline, sock, outbox: as for a SocketLink. Nothing was read from the socket that belongs to TLS.
        context: certificates and rules.
        server_side: True for the end that was connected to.
        server_hostname: what a client expects the server's certificate to be for.
        handshake_timeout: seconds that the handshake may take from ``start``; None where the owner closes a link that takes too long.

    Attributes:
        engine: tells the protocol's version, the cipher, the peer's certificate, what ALPN has chosen.
        secured: the handshake is done. Nothing but the handshake was sent before.

    Raises:
        OSError: the socket is no longer connected.
        ValueError: context and server_hostname do not fit.
    """

    __slots__ = (
        "_count", "_failure", "_finished", "_handshake_timeout", "_incoming", "_left", "_offset", "_outgoing", "_owed", "_patience",
        "_sealed", "_tail", "engine", "secured",
    )  # fmt: skip

    def __init__(
        self, readiness: Readiness, write_deadline: float | None, sock: socket.socket, outbox: Outbox, context: ssl.SSLContext, *,
        server_side: bool = False, server_hostname: str | None = None, handshake_timeout: float | None = None,
    ) -> None:  # fmt: skip
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.engine = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname)
        self._sealed: list[tuple[bytes, int]] = []  # records, and how much of the outbox is in each
        self._offset = 0  # what is sent of the first of them
        self._owed = 0  # bytes of records that hold nothing of the outbox
        self._tail = b""  # a record that has not come to its end
        self._count = 0  # records that the engine was fed with last
        self._patience = PATIENCE  # with records that hold no data
        self._finished = False  # the peer has ended its side
        self._failure: TLSError | None = None  # to be told when what came before it has been handed over
        self._left = False  # the engine has something for us that the socket does not tell of
        self._handshake_timeout = handshake_timeout
        self.secured = False
        super().__init__(readiness, write_deadline, sock, outbox)
        self.blocked = True

    def start(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._paused = False
        if self._handshake_timeout is not None:
            self._readiness.call_at(self._readiness.time() + self._handshake_timeout, self._expire)
        self._shake()

    def begun(self) -> int:
        return sum(size for _, size in self._sealed)

    def resume_reading(self) -> None:
        SocketLink.resume_reading(self)
        self._come_back()

    def close(self) -> None:
        if self.secured and not self._closed:
            self._say_end()
        SocketLink.close(self)

    # What the readiness says

    def on_readable(self) -> None:
        """Read once, and hand it over; or go on with the handshake."""
        if not self.secured:
            self._hear_handshake()
            return
        SocketLink.on_readable(self)
        if not self._closed:
            self._answer()
            self._come_back()

    def on_writable(self) -> None:
        """Send once what is sealed, and what is in the outbox."""
        if self.secured and self.blocked:
            SocketLink.on_writable(self)
        else:
            self._send_answers()
        self._watch()

    # The handshake

    def _hear_handshake(self) -> None:
        cipher = self._readiness.take_chunk()
        try:
            stop = self._gather(cipher, len(self._tail) + HANDSHAKE_SIZE)
            pos = 0
            with memoryview(cipher) as source:
                while (end := self._find_end(cipher, pos, stop)) > pos:
                    self._incoming.write(source[pos:end])
                    pos = end
                self._tail = bytes(source[pos:stop])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        finally:
            self._readiness.give_back(cipher)
        self._shake()

    def _shake(self) -> None:
        """Go on with the handshake as far as what came allows."""
        try:
            self.engine.do_handshake()
        except ssl.SSLWantReadError:
            self._answer()
            self._watch()
        except ssl.SSLError as error:
            self._break(self._fail(error))
        else:
            self._answer()
            if not self._closed:
                self._finish_handshake()

    def _finish_handshake(self) -> None:
        self.secured = True
        if self._handshake_timeout is not None:
            self._readiness.cancel(self._expire)
        self._unblock()
        self._watch()
        self.flush()
        self._left = self._incoming.pending > 0
        self._come_back()
        if self._owner is not None:
            self._owner.link_progress()

    def _expire(self) -> None:
        error = TLSError(f"the peer has not finished the handshake within {self._handshake_timeout:g} s")
        error.__cause__ = TimeoutError()
        self._break(error)

    # Reading

    def _recv(self, chunk: bytearray) -> int:
        if self._failure is not None:
            raise self._failure
        if self._finished:
            return 0
        size = 0
        target = memoryview(chunk)
        try:
            if self._left:
                self._left = False
                self._count = 0
                size = self._read_records(target, 0)
            if not size and not self._left:
                size = self._read_socket(target)
        finally:
            target.release()
        if size or self._finished:
            return size
        raise self._failure or BlockingIOError()

    def _read_socket(self, target: memoryview) -> int:
        cipher = self._readiness.take_chunk()
        try:
            return self._open(cipher, self._gather(cipher, len(cipher)), target)
        finally:
            self._readiness.give_back(cipher)

    def _gather(self, cipher: bytearray, room: int) -> int:
        """Read into cipher[:room], behind what was incomplete the last time; return how much there is."""
        have = len(self._tail)
        got = 0
        cipher[:have] = self._tail
        with memoryview(cipher) as view, view[have:room] as free:
            got = self._sock.recv_into(free)
        if not got:
            raise TLSError(CUT if self.secured else "the peer closed the connection during the handshake")
        return have + got

    def _open(self, cipher: bytearray, stop: int, target: memoryview) -> int:
        """Feed the engine with the records in cipher[:stop], and read what it makes of them; the rest is incomplete and kept."""
        pos = size = 0
        with memoryview(cipher) as source:
            while not self._left:
                end = self._find_end(cipher, pos, stop)
                if end == pos:
                    break
                self._incoming.write(source[pos:end])
                size = self._read_records(target, size)
                pos = end
            self._tail = bytes(source[pos:stop])
        return size

    def _find_end(self, cipher: bytearray, pos: int, stop: int) -> int:
        """Return where the records end that the engine is fed with next, and count them. What is no record, the engine is to refuse."""
        end = pos
        self._count = 0
        while self._count < _FEED_RECORDS and end - pos < _FEED and stop - end >= 5:
            size = 5 + (cipher[end + 3] << 8) + cipher[end + 4]
            if not 20 <= cipher[end] <= 24 or cipher[end + 1] != 3 or size > _RECORD + OVERHEAD:
                return stop
            if size > stop - end:
                break
            end += size
            self._count += 1
        return end

    def _read_records(self, target: memoryview, size: int) -> int:
        """Read until the engine needs more; return how much the target holds then. What goes wrong comes after what is good."""
        room = len(target)
        count = 0
        while True:
            try:
                got: int = self.engine.read(room - size, target[size:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self._failure = self._fail(error)
                self._left = True
                return size
            if not got:
                self._finished = self._left = True
                return size
            size += got
            count += 1
            if not self._incoming.pending:  # saves the exception that asking once more would cost
                break
        self._note(count, self._count - count)
        return size

    def _note(self, data: int, other: int) -> None:
        """Records with data and others have come. Others, such as KeyUpdates, cost much and are rare, where nobody means harm."""
        self._patience = min(self._patience + data, _PATIENCE)
        if other > 0:
            self._patience -= OTHER_COST * other
            if self._patience < 0 and self._failure is None:
                self._failure = TLSError("the peer sends records without data, and too many of them")
                self._left = True

    def _come_back(self) -> None:
        """Read what is left in the engine, in a later turn."""
        if self._left and not (self._closed or self._paused or self._ended):
            self._readiness.defer(self._read_left)

    def _read_left(self) -> None:
        if self._left and not (self._closed or self._paused or self._ended or self._receiving):
            self.on_readable()

    # Sending

    def _send(self, views: list[memoryview]) -> int:
        if not self._sealed:
            try:
                self._seal(views)
            except ssl.SSLError as error:
                self._failure = self._fail(error)
            if self._failure is not None:
                raise self._failure
        return self._send_sealed()

    def _seal(self, views: list[memoryview]) -> None:
        """Make records of what the outbox begins with."""
        room = _SEAL
        for view in views:
            start = 0
            while start < len(view) and room > 0:
                size = self.engine.write(view[start : start + _RECORD])
                self._sealed.append((self._outgoing.read(), size))
                start += size
                room -= size

    def _send_sealed(self) -> int:
        """Send records as far as the socket takes them; return how much of the outbox was in those that are gone."""
        records: list[bytes | memoryview] = [record for record, _ in self._sealed[:_MAX_RECORDS]]
        if self._offset:
            records[0] = memoryview(records[0])[self._offset :]
        sent = self._offset + (self._sock.send(records[0]) if len(records) == 1 else self._sock.sendmsg(records))
        gone = done = 0
        for record, size in self._sealed:
            if sent < len(record):
                break
            sent -= len(record)
            gone += 1
            done += size
            if not size:
                self._owed -= len(record)
        del self._sealed[:gone]
        self._offset = sent
        return done

    def _answer(self) -> None:
        """Send what the engine has to say of its own."""
        if not self._outgoing.pending:
            return
        record = self._outgoing.read()
        was_idle = not self._sealed
        self._sealed.append((record, 0))
        self._owed += len(record)
        if was_idle:
            self._send_answers()
        self._watch()

    def _send_answers(self) -> None:
        """Send records that hold nothing of the outbox."""
        if not self._sealed:
            return
        try:
            self._outbox.advance(self._send_sealed())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # what the peer has said before it went is still to be read; then we find out
            self._sealed.clear()
            self._offset = self._owed = 0

    # Private

    def _watch(self) -> None:
        if self._closed:
            return
        read = not self.secured or not (self._paused or self._ended)
        write = len(self._sealed) > 0 or (self.secured and self.blocked)
        try:
            self._readiness.watch(self, read and self._owed <= _OWED, write)
        except OSError as error:
            self._break(error)

    def _fail(self, error: ssl.SSLError) -> TLSError:
        """Return what an error of the engine comes to; the peer is told, if it can be."""
        self._send_last()
        return tls_error(error, self.engine.server_hostname)

    def _say_end(self) -> None:
        try:
            self.engine.unwrap()
        except ssl.SSLError:
            pass  # that the peer has not said the same yet, or that TLS is broken; it is closed either way
        self._send_last()

    def _send_last(self) -> None:
        """Send what the engine still says before the socket is closed, if it can be sent now and the peer is at the start of a record."""
        if self._sealed:
            return
        last = self._outgoing.read()
        try:
            if last:
                self._sock.send(last)
        except OSError:
            pass  # nobody waits for it

    def _shut(self) -> None:
        if not self._closed and not self.secured and self._handshake_timeout is not None:
            self._readiness.cancel(self._expire)
        SocketLink._shut(self)
        self._sealed.clear()


VERIFY_PROBLEMS = {  # by the numbers of OpenSSL's X509_V_ERR_
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself, and not known here",
    19: "it is signed by an authority that is not known here",
    20: "it is signed by an authority that is not known here",
    21: "it is signed by an authority that is not known here",
    23: "it is revoked",
    62: "it is for another host",
    64: "it is for another address",
}
NOT_TLS = ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER")


def tls_error(error: ssl.SSLError, host: str | None) -> TLSError:
    """Return what went wrong in words, with what OpenSSL says as its cause.

    Args:
        host: the name that a server's certificate has to be for.
    """
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = VERIFY_PROBLEMS.get(error.verify_code, error.verify_message)
        found: TLSError = CertificateError(problem, host)
    elif isinstance(error, ssl.SSLZeroReturnError):
        found = TLSError("the peer closed the connection during the handshake")
    elif alert := re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)", reason):
        found = TLSError(f"the peer refused the connection: {_words(alert[1])}")
    elif reason in NOT_TLS:
        found = TLSError("what the peer said is not TLS")
    else:
        found = TLSError(_words(reason) or str(error))
    found.__cause__ = error.with_traceback(None)
    return found


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
