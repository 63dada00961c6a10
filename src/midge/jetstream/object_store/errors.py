"""What an object store refuses; buckets that are not there, or are otherwise: see ``key_value.errors``.

MidgeError
├── ObjectNotFoundError (LookupError)
├── ObjectExistsError (ValueError)
├── ObjectLinkError (ValueError)        a link where there can be none, or that leads nowhere
└── ObjectDamagedError                  what came is not what was put
"""

from __future__ import annotations

from midge.errors import MidgeError

__all__ = ["ObjectDamagedError", "ObjectExistsError", "ObjectLinkError", "ObjectNotFoundError"]


class _ObjectError(MidgeError):
    """Something about one object."""

    def __init__(self, bucket: str, name: str) -> None:
        super().__init__()
        self.bucket = bucket
        self.name = name


class ObjectNotFoundError(_ObjectError, LookupError):
    """There is no object of this name, or it is deleted."""

    def __str__(self) -> str:
        return f"object store {self.bucket!r} has no object {self.name!r}"


class ObjectExistsError(_ObjectError, ValueError):
    """There is an object of this name."""

    def __str__(self) -> str:
        return f"object store {self.bucket!r} has an object {self.name!r}"


class ObjectLinkError(_ObjectError, ValueError):
    """A link where there can be none, or one that leads nowhere."""

    def __init__(self, bucket: str, name: str, reason: str) -> None:
        super().__init__(bucket, name)
        self.reason = reason

    def __str__(self) -> str:
        return f"object {self.name!r} of store {self.bucket!r}: {self.reason}"


class ObjectDamagedError(_ObjectError):
    """What came is not what was put: a chunk is missing, the digest is another one, or what describes the object makes no sense."""

    def __init__(self, bucket: str, name: str, reason: str) -> None:
        super().__init__(bucket, name)
        self.reason = reason

    def __str__(self) -> str:
        return f"object {self.name!r} of store {self.bucket!r} is damaged: {self.reason}"
