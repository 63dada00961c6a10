"""``midge stream find`` and ``midge consumer find``: those that are as the options say. What is asked for holds for all that is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from midge.cli.answers import consumer_answer, stream_answer
from midge.cli.consumer_info import show_consumers
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import stream_argument
from midge.cli.output import json_option
from midge.cli.render import print_json, say, say_all
from midge.cli.stream_info import show_streams
from midge.cli.target import Target
from midge.cli.units import DURATION
from midge.jetstream.entity import from_json
from midge.jetstream.infos import ClusterInfo, ConsumerInfo, StreamInfo
from midge.jetstream.names import check_name

if TYPE_CHECKING:
    _Kind = click.ParamType[Any]
else:
    _Kind = click.ParamType

__all__ = ["find_consumers", "find_streams"]

T = TypeVar("T")
Wanted = dict[str, Any]
InfoT = TypeVar("InfoT", StreamInfo, ConsumerInfo)
Test = Callable[[InfoT, Any], bool]
_LEVEL = "_nats.req.level"
_DURATION: Any = {"type": DURATION, "metavar": "DURATION"}
_COUNT: Any = {"type": click.IntRange(min=0), "metavar": "NUMBER"}


class _Pattern(_Kind):
    name = "regex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return re.compile(value)
        except re.error as error:
            self.fail(f"{value!r} is no regular expression: {error}", param, ctx)


_PATTERN: Any = {"type": _Pattern(), "metavar": "REGEX"}


def _common_options(command: Callable[..., T]) -> Callable[..., T]:
    for option in (
        click.option("--invert", is_flag=True, help="Those that are not so, in each of the ways that are given."),
        click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone."),
        click.option("--api-level", help="Those that need this level of the API, or a higher one.", **_COUNT),
        click.option("--leader", metavar="SERVER", help="Those that this server leads."),
        click.option("--replicas", help="Those with so many replicas, or fewer.", **_COUNT),
        click.option("--created", help="Those that were made so long ago, or longer.", **_DURATION),
    ):
        command = option(command)
    return command


@click.command("find", short_help="Find streams by what they are.")
@click.option("--server-name", help="Those that a server keeps whose name matches.", **_PATTERN)
@click.option("--cluster", help="Those in a cluster whose name matches.", **_PATTERN)
@click.option("--empty", is_flag=True, default=None, help="Those without messages.")
@click.option("--idle", help="Those that got no message for so long.", **_DURATION)
@click.option("--consumers", help="Those with so many consumers, or fewer.", **_COUNT)
@click.option("--subject", metavar="SUBJECT", help="Those with a subject that matches.")
@click.option("--sourced", is_flag=True, default=None, help="Those that have sources.")
@click.option("--mirrored", is_flag=True, default=None, help="Those that are mirrors.")
@_common_options
@json_option
@js_options
def find_streams(target: Target, subject: str | None, names_only: bool, invert: bool, as_json: bool, **wanted: Any) -> None:
    """Find the streams that are all that the options say; those beneath buckets and object stores, too."""

    async def ask(api: Api) -> list[Wanted]:
        taking = None if subject is None else {name async for name in api.js.stream_names(subject)}
        rows = [stream_answer(row) async for row in api.pages("STREAM.LIST", "streams")]
        rows = [row for row in rows if taking is None or (row["config"]["name"] in taking) is not invert]
        return [row for row in rows if _fits(from_json(StreamInfo, row), _STREAM_TESTS, wanted, invert=invert)]

    rows = sorted(run(target, "midge stream find", ask), key=lambda row: str(row["config"]["name"]))
    _show(rows, [row["config"]["name"] for row in rows], "stream", show_streams, names_only=names_only, as_json=as_json)


@click.command("find", short_help="Find consumers by what they are.")
@stream_argument
@click.option("--pull", is_flag=True, default=None, help="Those that are pulled from.")
@click.option("--push", is_flag=True, default=None, help="Those that deliver to a subject.")
@click.option("--bound", is_flag=True, default=None, help="Those that somebody listens to or waits for.")
@click.option("--waiting", help="Those with fewer waiting pulls.", **_COUNT)
@click.option("--ack-pending", help="Those with fewer unacknowledged messages.", **_COUNT)
@click.option("--pending", help="Those with fewer unprocessed messages.", **_COUNT)
@click.option("--idle", help="Those that delivered nothing for so long.", **_DURATION)
@click.option("--pinned", is_flag=True, default=None, help="Those in whose priority groups everywhere a client is pinned.")
@_common_options
@json_option
@js_options
def find_consumers(target: Target, stream: str, names_only: bool, invert: bool, as_json: bool, **wanted: Any) -> None:
    """Find the consumers of STREAM that are all that the options say."""

    async def ask(api: Api) -> list[Wanted]:
        rows = [consumer_answer(row) async for row in api.pages(f"CONSUMER.LIST.{check_name(stream)}", "consumers")]
        return [row for row in rows if _fits(from_json(ConsumerInfo, row), _CONSUMER_TESTS, wanted, invert=invert)]

    rows = sorted(run(target, "midge consumer find", ask), key=lambda row: str(row["name"]))
    _show(rows, [row["name"] for row in rows], "consumer", show_consumers, names_only=names_only, as_json=as_json)


def _show(
    rows: list[Wanted], names: list[str], kind: str, show: Callable[[Iterable[Wanted]], None], *, names_only: bool, as_json: bool
) -> None:  # fmt: skip
    if as_json:
        print_json(names if names_only else rows)
    elif names_only:
        say_all(names)
    elif not rows:
        say(f"No {kind} is so")
    else:
        show(rows)


def _fits(info: InfoT, tests: dict[str, Test[InfoT]], wanted: Wanted, *, invert: bool) -> bool:
    """True if it is all that is wanted, or inverted, nothing of that."""
    return all(tests[name](info, value) is not invert for name, value in wanted.items() if value is not None)


def _is_older(moment: datetime | None, info: StreamInfo | ConsumerInfo, nanoseconds: int) -> bool:
    """True if something was so long ago by the server's clock, where it tells the time; what never was is as old as can be."""
    return moment is None or ((info.ts or datetime.now(UTC)) - moment).total_seconds() * 1e9 >= nanoseconds


def _servers(cluster: ClusterInfo | None) -> list[str]:
    return [] if cluster is None else [cluster.leader, *(peer.name for peer in cluster.replicas)]


def _level(info: StreamInfo | ConsumerInfo) -> int:
    level = (info.config.metadata or {}).get(_LEVEL, "")
    return int(level) if level.isdecimal() and len(level) < 10 else 0


def _is_pinned(info: ConsumerInfo) -> bool:
    pinned = [group for group in info.priority_groups if group.pinned_client_id]
    return info.config.priority_policy == "pinned_client" and len(pinned) >= len(info.config.priority_groups or [])


_STREAM_TESTS: dict[str, Test[StreamInfo]] = {
    "server_name": lambda info, pattern: any(pattern.search(name) for name in _servers(info.cluster)),
    "cluster": lambda info, pattern: info.cluster is not None and pattern.search(info.cluster.name) is not None,
    "empty": lambda info, _: info.state.messages == 0,
    "idle": lambda info, nanoseconds: _is_older(info.state.last_ts, info, nanoseconds),
    "created": lambda info, nanoseconds: _is_older(info.created, info, nanoseconds),
    "consumers": lambda info, most: info.state.consumer_count <= most,
    "replicas": lambda info, most: (info.config.num_replicas or 1) <= most,
    "sourced": lambda info, _: bool(info.config.sources),
    "mirrored": lambda info, _: info.config.mirror is not None,
    "leader": lambda info, name: info.cluster is not None and info.cluster.leader == name,
    "api_level": lambda info, level: _level(info) >= level,
}
_CONSUMER_TESTS: dict[str, Test[ConsumerInfo]] = {
    "pull": lambda info, _: not info.config.deliver_subject,
    "push": lambda info, _: bool(info.config.deliver_subject),
    "bound": lambda info, _: info.push_bound or info.num_waiting > 0,
    "waiting": lambda info, most: info.num_waiting < most,
    "ack_pending": lambda info, most: info.num_ack_pending < most,
    "pending": lambda info, most: info.num_pending < most,
    "idle": lambda info, nanoseconds: _is_older(info.delivered.last_active, info, nanoseconds),
    "created": lambda info, nanoseconds: _is_older(info.created, info, nanoseconds),
    "replicas": lambda info, most: (info.config.num_replicas or (len(_servers(info.cluster)) or 1)) <= most,
    "leader": lambda info, name: info.cluster is not None and info.cluster.leader == name,
    "pinned": lambda info, _: _is_pinned(info),
    "api_level": lambda info, level: _level(info) >= level,
}
