"""``midge stream cluster`` and ``midge consumer cluster``: who leads, and which servers keep it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import click

from midge.cli.answers import consumer_answer, stream_answer
from midge.cli.jetstream import Api, js_options, run
from midge.cli.lazy_group import LazyGroup
from midge.cli.names import consumer_argument, stream_argument
from midge.cli.output import json_option
from midge.cli.render import confirm, force_option, print_json, say
from midge.cli.target import Target
from midge.errors import MidgeError, MidgeTimeoutError
from midge.jetstream.errors import JetStreamUnavailableError
from midge.jetstream.names import check_name
from midge.jetstream.requests import preferring

__all__ = ["consumer_step_down", "remove_peer", "stream_step_down"]

_ELECTED_WITHIN = 10.0  # seconds
_LOOK_SECONDS = 0.5
_PAUSE = 0.1

_ALIASES = {"stepdown": "step-down", "sd": "step-down", "elect": "step-down", "down": "step-down", "d": "step-down"}
stream_group = LazyGroup(
    "cluster",
    help="Manage which servers of a cluster lead and keep a stream.",
    short_help="Which servers lead and keep it.",
    places={"step-down": "cluster:stream_step_down", "peer-remove": "cluster:remove_peer"},
    aliases=_ALIASES | {"pr": "peer-remove"},
)
consumer_group = LazyGroup(
    "cluster",
    help="Manage which server of a cluster leads a consumer.",
    short_help="Which server leads it.",
    places={"step-down": "cluster:consumer_step_down"},
    aliases=_ALIASES,
)
_preferred = click.option("--preferred", metavar="SERVER", help="The server that is to lead then.")
_unled = click.option("--force", "-f", is_flag=True, help="Also where nobody leads it.")


@click.command("step-down", short_help="Let another server lead a stream.")
@stream_argument
@_preferred
@_unled
@json_option
@js_options
def stream_step_down(target: Target, stream: str, preferred: str | None, force: bool, as_json: bool) -> None:
    """Let another server lead STREAM, and wait until one does."""
    look = f"STREAM.INFO.{check_name(stream)}"
    ask = f"STREAM.LEADER.STEPDOWN.{stream}"
    _step_down(target, f"stream {stream}", look, stream_answer, ask, preferred, force=force, as_json=as_json)


@click.command("step-down", short_help="Let another server lead a consumer.")
@consumer_argument
@_preferred
@_unled
@json_option
@js_options
def consumer_step_down(target: Target, stream: str, consumer: str, preferred: str | None, force: bool, as_json: bool) -> None:
    """Let another server lead CONSUMER of STREAM, and wait until one does."""
    path = f"{check_name(stream)}.{check_name(consumer, 'consumer name')}"
    look, ask = f"CONSUMER.INFO.{path}", f"CONSUMER.LEADER.STEPDOWN.{path}"
    _step_down(target, f"consumer {consumer} of stream {stream}", look, consumer_answer, ask, preferred, force=force, as_json=as_json)


@click.command("peer-remove", short_help="Let another server keep a replica.")
@stream_argument
@click.argument("peer")
@force_option
@json_option
@js_options
def remove_peer(target: Target, stream: str, peer: str, force: bool, as_json: bool) -> None:
    """Let another server have the replica of STREAM that PEER has, by the name that `stream info` tells."""
    confirm(f"Really remove the replica of stream {stream} that {peer} has?", force=force)

    async def remove(api: Api) -> dict[str, Any]:
        cluster = _cluster_of(await api.stream_info(stream), f"stream {stream}")
        if not cluster.get("replicas") and not force:
            raise MidgeError(f"only {peer} has stream {stream}: its messages would be lost; --force removes it")
        return await api.ask(f"STREAM.PEER.REMOVE.{stream}", {"peer": peer})

    found = run(target, "midge stream cluster peer-remove", remove)
    if as_json:
        print_json(found)
    else:
        say(f"Removed the replica of stream {stream} that {peer} had")


def _step_down(
    target: Target, what: str, look: str, checked: Callable[[Any], dict[str, Any]], ask: str, preferred: str | None, *,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask a leader to step down; tell who leads then.

    Args:
        what: is led.
        look, checked: what to ask the API about it, and what an answer has to be.
        ask: how the API is asked to let another server lead.
    """

    async def change(api: Api) -> tuple[str, dict[str, Any]]:
        before = str(_cluster_of(checked(await api.ask(look)), what).get("leader") or "")
        if not before and not force:
            raise MidgeError(f"nobody leads {what}")
        await api.ask(ask, preferring(preferred))
        return before, await _elected(lambda: api.requests.ask(look, timeout=_LOOK_SECONDS), checked, what, before)

    before, found = run(target, "midge cluster step-down", change)
    if as_json:
        print_json(found)
    else:
        say(f"{what.capitalize()} is led by {found['cluster']['leader']}, and was by {before or 'nobody'}")


async def _elected(
    look: Callable[[], Awaitable[Any]], checked: Callable[[Any], dict[str, Any]], what: str, before: str
) -> dict[str, Any]:  # fmt: skip
    """Return what is told when another server leads.

    Raises:
        MidgeError: none does in time.
    """
    end = time.monotonic() + _ELECTED_WITHIN
    leader = ""
    while time.monotonic() < end:
        with suppress(MidgeTimeoutError, JetStreamUnavailableError):  # nobody leads yet
            found = checked(await look())
            leader = str(_cluster_of(found, what).get("leader") or "")
            if leader not in ("", before):
                return found
        await asyncio.sleep(_PAUSE)
    raise MidgeError(f"{leader} leads {what} still, or again" if leader else f"nobody leads {what} after {_ELECTED_WITHIN:g} seconds")


def _cluster_of(found: dict[str, Any], what: str) -> dict[str, Any]:
    """Return where it is kept.

    Raises:
        MidgeError: in no cluster.
    """
    cluster: dict[str, Any] | None = found.get("cluster")
    if not cluster:
        raise MidgeError(f"{what} is in no cluster")
    return cluster
