"""A click group whose commands are imported when one of them is asked for, and which knows some of them by other names as well."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """Commands by name, each as ``module:attribute`` within ``midge.cli``, and aliases, which help does not list."""

    def __init__(self, *args: Any, places: Mapping[str, str], aliases: Mapping[str, str] | None = None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._places = places
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._places.get(self._aliases.get(cmd_name, cmd_name))
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(f"midge.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command
