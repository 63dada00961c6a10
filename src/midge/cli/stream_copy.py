"""``midge stream copy``: a stream from one server to another, with a check at the end that reads both.

Where both can, a snapshot is streamed through: sequences, times and headers are the same then, and consumers are where they were. It is
there as a whole or not at all. Elsewhere the messages are published again, which ``stream_republish`` tells about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import click

from midge.cli.answers import consumer_answer, stream_answer
from midge.cli.config_options import changed, commas, placement_changes, placement_options
from midge.cli.jetstream import Api, js_options, opened, run_guarded
from midge.cli.output import complain, counted, json_option
from midge.cli.render import Advance, bar, print_json, say
from midge.cli.stream_digest import Digest, digest_of
from midge.cli.stream_republish import Republishing, unfit
from midge.cli.target import Target, complete_contexts, target_of
from midge.errors import JetStreamError, MidgeError
from midge.jetstream.names import check_name
from midge.jetstream.restoring import restore
from midge.jetstream.snapshot import Snapshot

__all__ = ["copy"]

Method = Literal["auto", "snapshot", "republish"]
_ARCHIVES_SINCE = (2, 15)


@dataclass
class Job:
    """What to copy, and how.

    Attributes:
        source, dest: the streams' names.
        changes: to the configuration.
        consumers: copy them, too.
    """

    source: str
    dest: str
    changes: dict[str, Any]
    consumers: bool
    resume: bool
    method: Method
    check: bool
    hidden: bool


@click.command("copy", short_help="Copy a stream to another server.")
@click.argument("source")
@click.argument("dest", required=False)
@click.option("--to-server", metavar="URL", help="The server to copy to.")
@click.option("--to-context", metavar="NAME", shell_complete=complete_contexts, help="The context to copy to.")
@click.option("--consumers", is_flag=True, help="Copy the consumers, too.")
@placement_options
@click.option("--subjects", metavar="SUBJECT", multiple=True, help="Which subjects it takes there; may be repeated.")
@click.option("--method", type=click.Choice(["auto", "snapshot", "republish"]), default="auto", show_default=True, help="How to copy.")
@click.option("--resume", is_flag=True, help="Go on with a copy by publishing that was cut off.")
@click.option("--check/--no-check", default=True, show_default=True, help="Read both in the end, and compare.")
@click.option("--progress/--no-progress", default=True, help="Show progress bars.")
@json_option
@js_options
def copy(
    target: Target,
    source: str,
    dest: str | None,
    to_server: str | None,
    to_context: str | None,
    subjects: tuple[str, ...],
    progress: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Copy the stream SOURCE, with its messages, to DEST on the server or in the context that is given.

    A snapshot is taken and restored where both servers can and the names are the same. Otherwise its messages are published again, and
    who subscribes to their subjects there gets them, too.
    """
    if to_server is None and to_context is None:
        raise click.UsageError("copy to where? give --to-server or --to-context")
    changes = placement_changes({name: options.pop(name) for name in ("replicas", "cluster", "tags")})
    changes |= {"subjects": commas(subjects)} if subjects else {}
    job = Job(check_name(source), check_name(dest or source), changes, hidden=as_json or not progress, **options)
    destination = replace(target_of(to_context, {"server": to_server}), timeout=target.timeout)
    found = run_guarded(_run(target, destination, job))
    if as_json:
        print_json(found)
        return
    exactly = "with its sequences and times" if found["method"] == "snapshot" else "by publishing"
    say(f"Copied stream {job.source} to {job.dest}, {counted(found['messages'], 'message')}, {exactly}")
    if "sha256" in found:
        say(f"Checked: last sequence {found['last_seq']:,}, SHA-256 {found['sha256']}")


async def _run(target: Target, destination: Target, job: Job) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(opened(target, "midge stream copy"))
        dest = await stack.enter_async_context(opened(destination, "midge stream copy"))
        info = await source.stream_info(job.source)
        result = await _copied(source, dest, info, job)
        if job.check:
            result |= await _checked(source, dest, result, job)
        return result


async def _copied(source: Api, dest: Api, info: dict[str, Any], job: Job) -> dict[str, Any]:
    """Copy in the way that fits; return what was done."""
    why = _no_snapshot(source, dest, job)
    if job.method == "snapshot" and why:
        raise MidgeError(f"no snapshot can be restored there: {why}")
    if job.method != "republish" and not why:
        snapshot = Snapshot(source.requests, job.source, consumers=job.consumers)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(snapshot)
            except JetStreamError as error:
                if job.method == "snapshot":
                    raise
                complain(f"no snapshot: {error}; the messages are published again")
            else:
                return await _stream_through(snapshot, dest, job)
    reason = unfit(info["config"])
    if reason:
        raise MidgeError(f"the messages of stream {job.source} cannot be published again: {reason}" + (f"; and {why}" if why else ""))
    return await _republish(source, dest, info, job)


def _no_snapshot(source: Api, dest: Api, job: Job) -> str:
    """Return why no snapshot can be restored, "" if nothing speaks against it."""
    if job.source != job.dest:
        return "a snapshot keeps the stream's name"
    if job.resume:
        return "a snapshot cannot be resumed"
    if _version(source) >= _ARCHIVES_SINCE > _version(dest):
        return f"server {dest.client.server_info.version} cannot read one of {source.client.server_info.version}"
    return ""


async def _stream_through(snapshot: Snapshot, dest: Api, job: Job) -> dict[str, Any]:
    config = changed(snapshot.answer["config"], job.changes)
    with bar("copy", snapshot.state.bytes, of_bytes=True, hidden=job.hidden) as advance:
        answer = stream_answer(await restore(dest.requests, _counted(snapshot, advance), config, snapshot.answer["state"]))
    return _result("snapshot", job, answer["state"]["messages"], snapshot.state.last_seq)


async def _counted(chunks: AsyncIterable[bytes], advance: Advance) -> AsyncIterator[bytes]:
    """Iterate over chunks, and say how much of them was used."""
    async for chunk in chunks:
        yield chunk
        advance(len(chunk))


async def _republish(source: Api, dest: Api, info: dict[str, Any], job: Job) -> dict[str, Any]:
    config = changed(info["config"], job.changes) | {"name": job.dest}
    if job.consumers and info["state"].get("num_deleted"):
        raise MidgeError("messages are missing in between, so sequences change, and consumers cannot go on where they are")
    copying = Republishing(source, dest, info, config)
    there = await copying.begin(resume=job.resume)
    with bar("copy", info["state"]["messages"], hidden=job.hidden) as advance:
        await copying.run(there, advance)
    if job.consumers:
        await _copy_consumers(source, dest, job)
    await copying.finish()
    state = (await dest.stream_info(job.dest))["state"]
    return _result("republish", job, state["messages"], copying.last)


async def _copy_consumers(source: Api, dest: Api, job: Job) -> None:
    """Make consumers that begin where those of the source have got everything acknowledged."""
    async for found in source.pages(f"CONSUMER.LIST.{job.source}", "consumers"):
        config = consumer_answer(found)["config"] | {"name": found["name"]}
        floor = found["ack_floor"]["stream_seq"] if config.get("ack_policy") != "none" else found["delivered"]["stream_seq"]
        config.pop("opt_start_time", None)
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": floor + 1}
        body = {"stream_name": job.dest, "config": config, "action": "create"}
        await dest.ask(f"CONSUMER.CREATE.{job.dest}.{found['name']}", body)


async def _checked(source: Api, dest: Api, result: dict[str, Any], job: Job) -> dict[str, Any]:
    """Read both, and return what they hold.

    Raises:
        MidgeError: it is not the same.
    """
    with bar("check", 2 * result["messages"], hidden=job.hidden) as advance:
        before, after = await asyncio.gather(
            digest_of(source, job.source, result["source_last_seq"], advance), digest_of(dest, job.dest, None, advance)
        )
    different = [name for name in _compared(result, before) if getattr(before, name) != getattr(after, name)]
    if different:
        said = ", ".join(f"{name.replace('_', ' ')} {getattr(before, name)} and {getattr(after, name)}" for name in different)
        raise MidgeError(f"the copy differs, or the stream was changed meanwhile: {said}")
    return {"first_seq": after.first_seq, "last_seq": after.last_seq, "sha256": after.sha256}


def _compared(result: dict[str, Any], before: Digest) -> list[str]:
    """Return what has to be the same: sequences only where they can be."""
    has_gaps = before.messages != before.last_seq - before.first_seq + 1
    return ["messages", "sha256"] if result["method"] == "republish" and has_gaps else ["messages", "first_seq", "last_seq", "sha256"]


def _result(method: str, job: Job, messages: int, last: int) -> dict[str, Any]:
    return {"source": job.source, "destination": job.dest, "method": method, "messages": messages, "source_last_seq": last}


def _version(api: Api) -> tuple[int, ...]:
    parts = api.client.server_info.version.split("-")[0].split(".")
    return tuple(int(part) for part in parts[:2] if part.isdecimal())
