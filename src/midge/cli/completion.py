"""``midge completion``: what makes a shell complete commands, options and names. It is click's own."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print what makes a shell complete commands.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, /, shell: str) -> None:
    """Print what makes SHELL complete the commands, options and names of midge.

    Put the line eval "$(midge completion bash)" into ~/.bashrc, or eval "$(midge completion zsh)" into ~/.zshrc; write what is printed for
    fish to ~/.config/fish/completions/midge.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "midge", "_MIDGE_COMPLETE").source())
