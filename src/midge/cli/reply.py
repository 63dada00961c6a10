"""``midge reply``: answer requests, with what they hold or with a fixed text.

Every responder that is started without ``--queue`` joins the same queue group, the one of the ``nats`` command, so that each
request is answered once, however many there are.
"""

from __future__ import annotations

import click

from midge.cli import output
from midge.cli.output import Style, format_options
from midge.cli.payload import header_option, payload
from midge.cli.sub import title
from midge.cli.target import Target, run_async, target_options
from midge.message import Headers

__all__ = ["DEFAULT_QUEUE", "command"]

DEFAULT_QUEUE = "NATS-RPLY-22"


@click.command("reply", short_help="Answer requests.")
@click.argument("subject")
@click.argument("data", required=False)
@click.option("--echo", is_flag=True, help="Answer with the request's own payload and headers; the default without DATA.")
@header_option
@click.option("--queue", metavar="NAME", default=DEFAULT_QUEUE, show_default=True, help="The queue group to join.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many requests.")
@format_options
@target_options
def command(
    target: Target, subject: str, data: str | None, echo: bool, headers: Headers | None, queue: str, count: int | None, style: Style
) -> None:
    """Answer every request to SUBJECT with DATA, and show the requests. - is standard input."""
    if echo and data is not None:
        raise click.UsageError("--echo answers with the request's payload; it takes no DATA")
    answer = None if data is None else payload(data)
    run_async(_reply(target, subject, answer, headers, queue, count, style))


async def _reply(
    target: Target, subject: str, answer: bytes | None, headers: Headers | None, queue: str, count: int | None, style: Style
) -> None:
    async with target.connect_for_good("midge reply") as nc:
        sub = await nc.subscribe(subject, queue=queue)
        if count is not None:
            await sub.unsubscribe(limit=count)
        click.echo(f'Answering on "{subject}" in queue group "{queue}"', err=True)
        number = 0
        async for message in sub:
            number += 1
            if message.reply:
                if answer is None:
                    await message.respond(message.data, headers=headers or (message.headers if len(message.headers) else None))
                else:
                    await message.respond(answer, headers=headers)
            output.show(message, style, title(number, message))
            if not sub.pending:
                output.flush()
    target.raise_errors()
