"""``midge stream add``, ``edit`` and ``seal``: how a stream is configured. Flags are those of the ``nats`` command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from midge.cli.config_options import Edit, Setting, changed, commas, edit_config, given, settings_options
from midge.cli.jetstream import Api, js_options, run
from midge.cli.names import stream_argument
from midge.cli.output import json_option
from midge.cli.render import confirm, force_option, print_json, say
from midge.cli.stream_info import CONFIG, show_stream
from midge.cli.target import Target
from midge.cli.units import DURATION, SIZE
from midge.jetstream.names import check_name

__all__ = ["SETTINGS", "add", "edit", "seal"]

_NUMBER = click.IntRange(min=-1)
_RETENTIONS = {"limits": "limits", "interest": "interest", "work": "workqueue", "workq": "workqueue", "workqueue": "workqueue"}
_STORAGES = {"file": "file", "f": "file", "memory": "memory", "m": "memory"}


def _all_named(names: Sequence[str]) -> list[dict[str, str]]:
    return [_named(name) for name in commas(names)]


def _named(name: str) -> dict[str, str]:
    return {"name": name}


SETTINGS = (
    Setting("--subjects", "subjects", str, "A subject to take; may be repeated, or given with commas.", commas, True, "SUBJECT"),
    Setting("--description", "description", str, "What the stream is for."),
    Setting("--storage", "storage", click.Choice(list(_STORAGES)), "Where messages are kept: in files, or in memory.", _STORAGES.get),
    Setting("--retention", "retention", click.Choice(list(_RETENTIONS)), "Until when messages are kept.", _RETENTIONS.get),
    Setting("--replicas", "num_replicas", click.IntRange(min=1), "How many servers of a cluster keep it."),
    Setting("--compression", "compression", click.Choice(["none", "s2"]), "How files are compressed."),
    Setting("--discard", "discard", click.Choice(["old", "new"]), "Which messages go when it is full."),
    Setting("--discard-per-subject/--no-discard-per-subject", "discard_new_per_subject", bool, "Refuse what is too much for a subject."),
    Setting("--max-age", "max_age", DURATION, "How old a message may become, such as 7d."),
    Setting("--max-bytes", "max_bytes", SIZE, "How large it may become, such as 10GB."),
    Setting("--max-msgs", "max_msgs", _NUMBER, "How many messages it may hold."),
    Setting("--max-msgs-per-subject", "max_msgs_per_subject", _NUMBER, "How many messages of each subject."),
    Setting("--max-msg-size", "max_msg_size", SIZE, "How large a message may be."),
    Setting("--max-consumers", "max_consumers", _NUMBER, "How many consumers it may have."),
    Setting("--dupe-window", "duplicate_window", DURATION, "How long a message id is remembered."),
    Setting("--first-sequence", "first_seq", click.IntRange(min=1), "The sequence of the first message."),
    Setting("--ack/--no-ack", "no_ack", bool, "Whether publishes are acknowledged.", lambda value: not value),
    Setting("--allow-direct/--no-allow-direct", "allow_direct", bool, "Whether any replica answers gets."),
    Setting("--allow-mirror-direct/--no-allow-mirror-direct", "mirror_direct", bool, "Whether a mirror does."),
    Setting("--allow-rollup/--no-allow-rollup", "allow_rollup_hdrs", bool, "Whether a message may replace those before it."),
    Setting("--allow-msg-ttl/--no-allow-msg-ttl", "allow_msg_ttl", bool, "Whether messages may have a lifetime of their own."),
    Setting("--allow-batch/--no-allow-batch", "allow_atomic", bool, "Whether atomic batches are taken."),
    Setting("--allow-fast/--no-allow-fast", "allow_batched", bool, "Whether fast batches are taken."),
    Setting("--allow-counter/--no-allow-counter", "allow_msg_counter", bool, "Whether it counts."),
    Setting("--allow-schedules/--no-allow-schedules", "allow_msg_schedules", bool, "Whether messages may be scheduled."),
    Setting("--subject-del-markers-ttl", "subject_delete_marker_ttl", DURATION, "How long it is marked that limits took all of a subject."),
    Setting("--deny-delete/--no-deny-delete", "deny_delete", bool, "Whether deleting messages is refused; for good."),
    Setting("--deny-purge/--no-deny-purge", "deny_purge", bool, "Whether purging is refused; for good."),
    Setting("--mirror", "mirror", str, "Copy another stream.", _named, False, "STREAM"),
    Setting("--source", "sources", str, "Take the messages of another stream, too; may be repeated.", _all_named, True, "STREAM"),
    Setting("--transform-source", "subject_transform.src", str, "Which subjects are changed.", None, False, "SUBJECT"),
    Setting("--transform-destination", "subject_transform.dest", str, "What they are changed to.", None, False, "SUBJECT"),
    Setting("--republish-source", "republish.src", str, "Which messages are published again.", None, False, "SUBJECT"),
    Setting("--republish-destination", "republish.dest", str, "Where to.", None, False, "SUBJECT"),
    Setting("--republish-headers/--republish-all", "republish.headers_only", bool, "Without their payload."),
    Setting("--limit-consumer-inactive", "consumer_limits.inactive_threshold", DURATION, "How long consumers may be unused."),
    Setting("--limit-consumer-max-pending", "consumer_limits.max_ack_pending", click.IntRange(min=0), "Their unacknowledged messages."),
    Setting("--cluster", "placement.cluster", str, "The cluster that keeps it.", None, False, "NAME"),
    Setting("--tag", "placement.tags", str, "Servers with this tag keep it; may be repeated.", commas, True, "TAG"),
    Setting("--persist-mode", "persist_mode", click.Choice(["default", "async"]), "When a message counts as stored."),
)  # fmt: skip


@click.command("add", short_help="Add a stream.")
@stream_argument
@settings_options(SETTINGS)
@click.option("--output", metavar="FILE", type=click.File("w"), help="Write the configuration to a file, and add nothing.")
@json_option
@js_options
def add(target: Target, stream: str, as_json: bool, output: Any, **values: Any) -> None:
    """Add STREAM. What is not given is as the server decides; without --subjects it takes the subject of its own name."""
    config = {"num_replicas": 1} | given(SETTINGS, values) | {"name": check_name(stream)}
    if output is not None:
        output.write(json.dumps(config, indent=2) + "\n")
        return
    found = run(target, "midge stream add", lambda api: api.ask(f"STREAM.CREATE.{stream}", config))
    if as_json:
        print_json(found)
    else:
        say(f"Added stream {stream}")
        show_stream(found)


@click.command("edit", short_help="Edit a stream's configuration.")
@stream_argument
@settings_options(SETTINGS)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@force_option
@json_option
@js_options
def edit(target: Target, stream: str, dry_run: bool, force: bool, as_json: bool, **values: Any) -> None:
    """Change what is given of STREAM's configuration; the rest stays as it is."""
    changes = given(SETTINGS, values)

    async def read(api: Api) -> dict[str, Any]:
        config: dict[str, Any] = (await api.stream_info(stream))["config"]
        return config

    editing = Edit(
        f"stream {stream}",
        CONFIG,
        read,
        lambda before: changed(before, changes) | {"name": stream},
        lambda api, after: api.ask(f"STREAM.UPDATE.{stream}", after),
        show_stream,
    )
    edit_config(target, "midge stream edit", editing, force=force, dry_run=dry_run, as_json=as_json)


@click.command("seal", short_help="Let nothing more be added to or removed from a stream.")
@stream_argument
@force_option
@json_option
@js_options
def seal(target: Target, stream: str, force: bool, as_json: bool) -> None:
    """Let nothing more be added to STREAM or removed from it. There is no way back."""
    confirm(f"Really seal stream {stream}, for good?", force=force)

    async def change(api: Api) -> dict[str, Any]:
        config = (await api.stream_info(stream))["config"]
        return await api.ask(f"STREAM.UPDATE.{stream}", config | {"sealed": True})

    found = run(target, "midge stream seal", change)
    if as_json:
        print_json(found)
    else:
        say(f"Sealed stream {stream}")
