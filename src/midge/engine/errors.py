"""What the JetStream API refuses: one error of nats-server's table, with the values that its text names."""

from __future__ import annotations

import msgspec

from midge.errors import JetStreamError
from midge.jetstream_errors import ERRORS
from midge.model.stream import ErrorBody

__all__ = ["ApiError", "invalid_config"]


class ApiError(JetStreamError):
    """An error of the table.

    Args:
        err_code: its number there.
        values: what its text names in braces, all of it.
    """

    def __init__(self, err_code: int, **values: object) -> None:
        row = ERRORS[err_code]
        assert all(f"{{{name}}}" in row.text for name in values), f"{row.constant} does not name all of {', '.join(values)}"
        super().__init__(row.code, err_code, row.text.format_map(values))

    def body(self) -> ErrorBody:
        """Return it as answers carry it."""
        return ErrorBody(code=self.code, err_code=self.err_code, description=self.description)

    def as_json(self) -> bytes:
        """Return it as ``{"code":..,"err_code":..,"description":..}``."""
        return msgspec.json.encode(self.body())


def invalid_config(text: str) -> ApiError:
    """Return the error that a stream's configuration is invalid, and why."""
    return ApiError(10052, err=text)
