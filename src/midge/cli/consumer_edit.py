"""``midge consumer add`` and ``edit``: how a consumer is configured. Flags are those of the ``nats`` command."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from midge.cli.answers import consumer_answer
from midge.cli.config_options import Edit, Setting, changed, commas, edit_config, given, settings_options
from midge.cli.consumer_info import CONFIG, show_consumer
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import consumer_argument, stream_argument
from midge.cli.output import json_option
from midge.cli.render import force_option, print_json, say
from midge.cli.target import Target
from midge.cli.units import DURATION, FUTURE, SIZE, read_duration
from midge.jetstream.entity import json_time
from midge.jetstream.names import check_name

__all__ = ["SETTINGS", "add", "edit"]

T = TypeVar("T")
_COUNT = click.IntRange(min=-1)
_ACKS = click.Choice(["explicit", "all", "none", "flow_control"])
_GROUPS = {"overflow_groups": "overflow", "pinned_groups": "pinned_client", "prioritized_groups": "prioritized"}

SETTINGS = (
    Setting("--description", "description", str, "What the consumer is for."),
    Setting("--ack", "ack_policy", _ACKS, "How messages are acknowledged: each, up to one, or not at all."),
    Setting("--wait", "ack_wait", DURATION, "How long to wait for an acknowledgement."),
    Setting("--max-deliver", "max_deliver", _COUNT, "How often a message is delivered."),
    Setting("--max-pending", "max_ack_pending", _COUNT, "How many messages may be unacknowledged."),
    Setting("--max-waiting", "max_waiting", _COUNT, "How many pulls may wait."),
    Setting("--max-pull-batch", "max_batch", _COUNT, "How many messages a pull may ask for."),
    Setting("--max-pull-bytes", "max_bytes", SIZE, "How many bytes a pull may ask for."),
    Setting("--max-pull-expire", "max_expires", DURATION, "How long a pull may wait."),
    Setting("--replay", "replay_policy", click.Choice(["instant", "original"]), "How fast messages are delivered."),
    Setting("--bps", "rate_limit_bps", click.IntRange(min=0), "How many bits a second are delivered."),
    Setting("--sample", "sample_freq", click.IntRange(0, 100), "Of how many per cent of acknowledgements to tell.", str),
    Setting("--headers-only/--no-headers-only", "headers_only", bool, "Deliver no payloads."),
    Setting("--target", "deliver_subject", str, "Push messages to this subject, instead of waiting for pulls.", None, False, "SUBJECT"),
    Setting("--deliver-group", "deliver_group", str, "The queue group that they are pushed to.", None, False, "GROUP"),
    Setting("--flow-control/--no-flow-control", "flow_control", bool, "Do not push more than is taken."),
    Setting("--heartbeat", "idle_heartbeat", DURATION, "How often to say so where there is nothing to push."),
    Setting("--inactive-threshold", "inactive_threshold", DURATION, "After what time unused it is removed."),
    Setting("--replicas", "num_replicas", click.IntRange(min=0), "How many servers of a cluster keep it; 0 for as many as the stream."),
    Setting("--memory/--no-memory", "mem_storage", bool, "Keep how far it is in memory."),
    Setting("--pinned-ttl", "priority_timeout", DURATION, "After what time unused a client is not pinned any more."),
)  # fmt: skip


def special_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options that are more than one field."""
    for option in (
        click.option(
            "--deliver", metavar="POLICY", help="Where to begin: all, new, last, subject, a sequence, or a duration such as 1h ago."
        ),
        click.option("--filter", "filters", metavar="SUBJECT", multiple=True, help="Only messages whose subject matches; may be repeated."),
        click.option("--backoff", metavar="DURATIONS", help="Wait so long before each redelivery, such as 1s,5s,1m."),
        click.option("--pause", type=FUTURE, metavar="TIME", help="Deliver nothing until a time, or for a duration."),
        click.option("--overflow-groups", metavar="GROUPS", multiple=True, help="Priority groups by how much waits."),
        click.option("--pinned-groups", metavar="GROUPS", multiple=True, help="Priority groups of which one client gets everything."),
        click.option("--prioritized-groups", metavar="GROUPS", multiple=True, help="Priority groups by the priority of pulls."),
    ):
        command = option(command)
    return command


@click.command("add", short_help="Add a consumer.")
@stream_argument
@click.argument("consumer", required=False)
@settings_options(SETTINGS)
@special_options
@click.option("--ephemeral", is_flag=True, help="Let it go when nobody uses it.")
@click.option("--pull", is_flag=True, help="Messages are pulled, as they are without --target.")
@click.option("--output", metavar="FILE", type=click.File("w"), help="Write the configuration to a file, and add nothing.")
@json_option
@js_options
def add(
    target: Target, stream: str, consumer: str | None, as_json: bool, ephemeral: bool, pull: bool, output: Any, **values: Any
) -> None:  # fmt: skip
    """Add CONSUMER to STREAM. It stays until it is removed, unless it is --ephemeral; without --ack each message is acknowledged."""
    config = {"ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant"} | _wanted(values)
    if pull and config.get("deliver_subject"):
        raise click.UsageError("--pull and --target are two ways of delivery")
    name = consumer or config.get("durable_name") or config.get("name")
    if name is None and not ephemeral:
        raise click.UsageError("a consumer without a name is --ephemeral")
    config.pop("durable_name", None)
    if name is not None:
        config["name"] = check_name(name, "consumer name")
        config |= {} if ephemeral else {"durable_name": name}
    if output is not None:
        output.write(json.dumps(config, indent=2) + "\n")
        return

    async def create(api: Api) -> dict[str, Any]:
        unnamed = api.client.new_inbox().rpartition(".")[2]
        return await _create(api, stream, {"name": unnamed} | config, "create")

    found = run(target, "midge consumer add", create)
    if as_json:
        print_json(found)
    else:
        say(f"Added consumer {consumer_answer(found)['name']} to stream {stream}")
        show_consumer(found)


@click.command("edit", short_help="Edit a consumer's configuration.")
@consumer_argument
@settings_options(SETTINGS)
@special_options
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@force_option
@json_option
@js_options
def edit(target: Target, stream: str, consumer: str, dry_run: bool, force: bool, as_json: bool, **values: Any) -> None:
    """Change what is given of the configuration of CONSUMER of STREAM; the rest stays as it is."""
    changes = _wanted(values)

    async def read(api: Api) -> dict[str, Any]:
        found = await api.ask(f"CONSUMER.INFO.{check_name(stream)}.{check_name(consumer, 'consumer name')}")
        config: dict[str, Any] = consumer_answer(found)["config"]
        return {"name": consumer} | config

    def change(before: dict[str, Any]) -> dict[str, Any]:
        after = changed(before, changes) | {"name": consumer}
        for one, other in (("filter_subject", "filter_subjects"), ("filter_subjects", "filter_subject")):
            if one in changes:
                after.pop(other, None)
        return after

    what = f"consumer {consumer} of stream {stream}"
    editing = Edit(what, CONFIG, read, change, lambda api, after: _create(api, stream, after, "update"), show_consumer)
    edit_config(target, "midge consumer edit", editing, force=force, dry_run=dry_run, as_json=as_json)


async def _create(api: Api, stream: str, config: dict[str, Any], action: str) -> dict[str, Any]:
    body = {"stream_name": check_name(stream), "config": config, "action": action}
    return await api.ask(f"CONSUMER.CREATE.{stream}.{config['name']}", body)


def _wanted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that the options make."""
    deliver, filters, backoff, pause = (values.pop(name) for name in ("deliver", "filters", "backoff", "pause"))
    groups = {policy: commas(values.pop(name)) for name, policy in _GROUPS.items()}
    config = given(SETTINGS, values)
    if deliver is not None:
        config |= _deliver_policy(deliver)
    subjects = commas(filters)
    if subjects:
        config |= {"filter_subject": subjects[0]} if len(subjects) == 1 else {"filter_subjects": subjects}
    if backoff is not None:
        config["backoff"] = _backoff(backoff)
    if pause is not None:
        config["pause_until"] = json_time(pause)
    chosen = [(policy, names) for policy, names in groups.items() if names]
    if len(chosen) > 1:
        raise click.UsageError("a consumer has one kind of priority groups")
    for policy, names in chosen:
        config |= {"priority_policy": policy, "priority_groups": names}
    return config


def _deliver_policy(text: str) -> dict[str, Any]:
    policies = {"all": "all", "new": "new", "last": "last", "subject": "last_per_subject", "last_per_subject": "last_per_subject"}
    if text in policies:
        return {"deliver_policy": policies[text]}
    if text.isascii() and text.isdigit():
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": int(text)}
    try:
        ago = timedelta(microseconds=read_duration(text) // 1000)
        return {"deliver_policy": "by_start_time", "opt_start_time": json_time(datetime.now(UTC) - ago)}
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is neither a policy nor a sequence nor a duration", param_hint="--deliver") from None


def _backoff(text: str) -> list[int]:
    try:
        return [read_duration(each) for each in commas([text])]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--backoff") from error
