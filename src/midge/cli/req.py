"""``midge req``: send a request and show the answer.

The exit code tells why there is none: 3 nobody listens on the subject, 4 somebody may, but did not answer in time.
"""

from __future__ import annotations

import time

import click

from midge.cli import output
from midge.cli.output import Style, format_options
from midge.cli.payload import header_option, payload
from midge.cli.target import Target, run_async, target_options
from midge.errors import MidgeTimeoutError, NoRespondersError
from midge.message import Headers, Message

__all__ = ["NO_RESPONDERS", "TIMED_OUT", "command"]

NO_RESPONDERS = 3
TIMED_OUT = 4


@click.command("req", short_help="Send a request and show the answer.")
@click.argument("subject")
@click.argument("data", required=False)
@header_option
@format_options
@target_options
def command(target: Target, subject: str, data: str | None, headers: Headers | None, style: Style) -> int:
    """Send DATA as a request to SUBJECT and show the answer. - is standard input; without DATA the payload is empty.

    Exits with 3 if nobody listens on SUBJECT, and with 4 if no answer comes in time.
    """
    return run_async(_request(target, subject, payload(data, default=b""), headers, style))


async def _request(target: Target, subject: str, data: bytes, headers: Headers | None, style: Style) -> int:
    async with target.connect("midge req") as nc:
        before = time.perf_counter()
        try:
            message: Message = await nc.request(subject, data, timeout=target.timeout, headers=headers)
        except NoRespondersError as error:
            output.complain(str(error))
            return NO_RESPONDERS
        except MidgeTimeoutError:
            target.raise_errors()  # the server may have refused the request
            click.echo(f'midge: no answer on "{subject}" within {target.timeout:g} s', err=True)
            return TIMED_OUT
        took = time.perf_counter() - before
        output.show(message, style, f"Received in {took * 1000:.2f} ms")
        output.flush()
        return 0
