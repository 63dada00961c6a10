"""What a key-value bucket refuses.

JetStreamError
├── StreamNotFoundError
│   └── BucketNotFoundError
├── StreamNameInUseError
│   └── BucketExistsError
└── WrongLastError
    ├── KeyExistsError                  of ``create``
    └── WrongRevisionError              of ``update``, ``delete`` and ``purge`` with a revision
MidgeError
├── KeyNotFoundError (LookupError)
├── CodecError (ValueError)
└── LimitMarkersNotSupportedError       the server is older than 2.11
"""

from __future__ import annotations

from midge.errors import JetStreamError, MidgeError
from midge.jetstream.errors import StreamNameInUseError, StreamNotFoundError, WrongLastError

__all__ = [
    "BucketExistsError",
    "BucketNotFoundError",
    "CodecError",
    "KeyExistsError",
    "KeyNotFoundError",
    "LimitMarkersNotSupportedError",
    "WrongRevisionError",
]


class BucketNotFoundError(StreamNotFoundError):
    """There is no bucket, or object store, of this name."""

    def __init__(self, bucket: str) -> None:
        super().__init__(404, 10059, "stream not found")
        self.bucket = bucket

    def __str__(self) -> str:
        return f"there is no bucket {self.bucket!r}: create it first"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.bucket,)


class BucketExistsError(StreamNameInUseError):
    """There is a bucket, or object store, of this name with another configuration: update it, or ``ensure`` it."""

    def __init__(self, bucket: str) -> None:
        super().__init__(400, 10058, "stream name already in use")
        self.bucket = bucket

    def __str__(self) -> str:
        return f"there is a bucket {self.bucket!r} with another configuration: update it, or ensure it"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.bucket,)


class KeyNotFoundError(MidgeError, LookupError):
    """The bucket has no value for this key, or none of this revision.

    Attributes:
        revision: the revision of the marker that deletes it; 0 where it never had a value, or nothing is left of it.
    """

    def __init__(self, bucket: str, key: str, revision: int = 0) -> None:
        super().__init__()
        self.bucket = bucket
        self.key = key
        self.revision = revision

    def __str__(self) -> str:
        return f"bucket {self.bucket!r} has no key {self.key!r}" + (f": deleted by revision {self.revision}" if self.revision else "")


class _Conflict(WrongLastError):
    """What was expected of a key is not so."""

    def __init__(self, error: JetStreamError, bucket: str, key: str) -> None:
        super().__init__(error.code, error.err_code, error.description)
        self.bucket = bucket
        self.key = key

    @property
    def revision(self) -> int | None:
        """The revision that it has, where the server says so."""
        last = self.last
        return int(last) if last is not None and last.isdecimal() else None

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (JetStreamError(self.code, self.err_code, self.description), self.bucket, self.key)


class KeyExistsError(_Conflict):
    """The key has a value."""

    def __str__(self) -> str:
        return f"key {self.key!r} of bucket {self.bucket!r} has a value"


class WrongRevisionError(_Conflict):
    """The last revision of the key is another one: somebody else has changed it."""

    def __str__(self) -> str:
        now = "another revision" if self.revision is None else f"revision {self.revision}"
        return f"key {self.key!r} of bucket {self.bucket!r} has {now} by now"


class CodecError(MidgeError, ValueError):
    """A codec cannot encode or decode a key or value; see __cause__."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__()
        self.key = key
        self.what = what

    def __str__(self) -> str:
        return f"the codec cannot {self.what} {self.key!r}" + ("" if self.__cause__ is None else f": {self.__cause__}")


class LimitMarkersNotSupportedError(MidgeError):
    """The server knows no limit markers and no lifetimes of keys: that is 2.11 and later."""

    def __str__(self) -> str:
        return "the server knows no limit_marker_ttl: nats-server 2.11 and later do"
