"""``midge nkey``: make key pairs, show their public half, sign with them. No server is needed.

A seed is read from a file or from standard input, never from the command line, which other users of the machine can read. It is
written to standard output, or to a new file that only its owner can read.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, BinaryIO

import click

from midge.client.credentials import MAX_FILE
from midge.client.secrets import shown
from midge.nkeys import KeyPair, Prefix, find_seed, wipe

__all__ = ["command"]

_TYPES = [str(prefix) for prefix in (Prefix.USER, Prefix.ACCOUNT, Prefix.OPERATOR, Prefix.SERVER, Prefix.CLUSTER)]


class SeedFile(click.File):
    """A file with a seed. Somebody may have typed the seed itself: it must not be printed then."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            text = error.message if not isinstance(value, str) else error.message.replace(repr(value), shown(value))
            self.fail(text, param, ctx)


_SEED_FILE = SeedFile("rb")


@click.group("nkey", short_help="Make and use nkeys.")
def command() -> None:
    """Make and use nkeys, the key pairs of NATS."""


@command.command("create", short_help="Make a key pair.")
@click.option("--type", "kind", type=click.Choice(_TYPES), default=_TYPES[0], show_default=True, help="What the key is for.")
@click.option("--output", "-o", metavar="FILE", type=click.Path(path_type=Path), help="Write the seed to this new file.")
def create(kind: str, output: Path | None) -> None:
    """Make a key pair and print its seed. With --output, the seed goes to a new file of mode 0600 and the public key is printed."""
    with KeyPair.create(Prefix[kind.upper()]) as key:
        if output is None:
            click.echo(key.seed())
            return
        try:
            file = open(output, "x", opener=_open_private)
        except FileExistsError:
            raise click.UsageError(f"{output} exists already, and may hold a seed that is needed") from None
        with file:
            file.write(f"{key.seed()}\n")
        click.echo(key.public_key)


@command.command("public", short_help="Show the public key of a seed.")
@click.argument("seed", metavar="[FILE]", type=_SEED_FILE, default="-")
def public(seed: BinaryIO) -> None:
    """Print the public key of the seed in FILE, a seed or creds file; without FILE, or with -, of standard input."""
    with _read_key(seed) as key:
        click.echo(key.public_key)


@command.command("sign", short_help="Sign a file.")
@click.option("--seed", metavar="FILE", type=_SEED_FILE, required=True, help="The file that holds the seed, - for standard input.")
@click.argument("data", metavar="[FILE]", type=click.File("rb"), default="-")
def sign(seed: BinaryIO, data: BinaryIO) -> None:
    """Print the signature of FILE, as URL-safe base64 without padding; without FILE, or with -, of standard input."""
    if seed.fileno() == data.fileno():
        raise click.UsageError("the seed and what is signed cannot both come from standard input")
    with _read_key(seed) as key:
        click.echo(base64.urlsafe_b64encode(key.sign(data.read())).decode().rstrip("="))


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read_key(file: BinaryIO) -> KeyPair:
    """Return the key pair of a file.

    Raises:
        NkeyError: it holds no seed.
    """
    if file.isatty():
        click.echo("Type the seed, and end it with Ctrl-D at the beginning of a line.", err=True)
    content = bytearray(file.read(MAX_FILE))
    try:
        seed = find_seed(content)
    finally:
        wipe(content)
    try:
        return KeyPair.from_seed(seed)
    finally:
        wipe(seed)
