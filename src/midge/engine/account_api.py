"""What the API says about an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midge.model.account import ApiStats
from midge.model.responses import AccountInfoResponse

if TYPE_CHECKING:
    from midge.engine.engine import Engine
    from midge.engine.requests import ApiRequest

__all__ = ["info"]


def info(engine: Engine, request: ApiRequest) -> None:
    """``INFO``: what the account uses and may use."""
    account = request.account
    assert account.limits is not None
    for stream in account.streams.values():
        account.recount(stream)
    request.respond(
        AccountInfoResponse(
            memory=account.used["memory"],
            storage=account.used["file"],
            reserved_memory=account.reserved("memory"),
            reserved_storage=account.reserved("file"),
            streams=len(account.streams),
            consumers=sum(len(stream.consumers) for stream in account.streams.values()),
            limits=account.limits,
            domain=engine.domain,
            api=ApiStats(level=engine.api_level, total=account.total, errors=account.errors),
        )
    )
