"""``midge pub``: publish one message, several times, or one message for each line of standard input.

Success means that the server has taken everything: the command ends with a round trip, and a publish that the server refused
makes it fail.
"""

from __future__ import annotations

import click

from midge.cli import payload as payloads
from midge.cli.output import counted, json_option
from midge.cli.payload import header_option
from midge.cli.render import print_json, say
from midge.cli.target import Target, run_async, target_options
from midge.message import Headers

__all__ = ["command"]


@click.command("pub", short_help="Publish messages.")
@click.argument("subject")
@click.argument("data", required=False)
@click.option("--lines", is_flag=True, help="Publish each line of standard input as a message.")
@click.option("--reply", metavar="SUBJECT", help="Where answers should go.")
@header_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Publish each message so many times.")
@json_option
@target_options
def command(
    target: Target, subject: str, data: str | None, lines: bool, reply: str | None, headers: Headers | None, count: int, as_json: bool
) -> None:  # fmt: skip
    """Publish DATA to SUBJECT. Without DATA, or with -, the payload is standard input."""
    if lines and data not in (None, "-"):
        raise click.UsageError("--lines reads standard input; it takes no DATA")
    whole = None if lines else payloads.payload(data)
    msgs, size = run_async(_publish(target, subject, whole, reply, headers, count))
    if as_json:
        print_json({"subject": subject, "messages": msgs, "bytes": size})
    else:
        say(f'Published {counted(msgs, "message")}, {counted(size, "byte")}, to "{subject}"')


async def _publish(
    target: Target, subject: str, data: bytes | None, reply: str | None, headers: Headers | None, count: int
) -> tuple[int, int]:
    """Publish the data, or each line of standard input where there is none; return how many messages and bytes."""
    msgs = size = 0
    async with target.connect("midge pub") as nc:
        if data is not None:
            for _ in range(count):
                await nc.publish(subject, data, reply=reply, headers=headers)
            msgs, size = count, count * len(data)
        else:
            async for line in payloads.lines(nc.max_payload):
                for _ in range(count):
                    await nc.publish(subject, line, reply=reply, headers=headers)
                msgs += count
                size += count * len(line)
        await nc.flush(target.timeout)
    target.raise_errors()
    return msgs, size
