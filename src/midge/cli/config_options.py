"""Options that become fields of a configuration: one table says the option, the field of the server's JSON, and what a value becomes.

What is not given is not in the configuration: the server has defaults for a new stream, and an edit leaves it as it is. ``--config FILE``
gives a whole configuration in the server's JSON, as ``info --json`` prints it, and the options change what it says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from midge.cli.render import Fields, cell, confirm, print_json, say
from midge.errors import MidgeError

__all__ = ["Setting", "ask_about_changes", "changed", "commas", "given", "metadata_option", "read_config", "settings_options"]

T = TypeVar("T")


class Setting(NamedTuple):
    """An option and the field that it sets.

    Attributes:
        option: as it is typed, "--max-age" or "--ack/--no-ack"; its name is ``option_name``.
        field: of the JSON; with a dot, of an object in it.
        type: click's type; ``bool`` is a flag.
        help: what it does.
        convert: what a value becomes.
    """

    option: str
    field: str
    type: Any
    help: str
    convert: Callable[[Any], Any] | None = None
    multiple: bool = False
    metavar: str | None = None

    @property
    def name(self) -> str:
        return "set_" + self.option.partition("/")[0].removeprefix("--").replace("-", "_")


def settings_options(settings: Sequence[Setting]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a command an option for each setting, ``--metadata`` and ``--config``; ``given`` takes their values out again."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        for setting in reversed(settings):
            command = _option(setting)(command)
        command = metadata_option(command)
        file: Any = {"type": click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)}
        return click.option("--config", "config_file", metavar="FILE", help="Begin with the configuration in a JSON file.", **file)(command)

    return decorate


def given(settings: Sequence[Setting], values: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that the options make: those of the file first, and what else is on the command line on top."""
    path, metadata = values.pop("config_file"), values.pop("metadata")
    config = {} if path is None else read_config(path)
    if metadata is not None:
        config["metadata"] = metadata
    for setting in settings:
        value, convert = values.pop(setting.name), setting.convert
        if value is not None and value != ():
            _put(config, setting.field, value if convert is None else convert(value))
    return config


def commas(values: Sequence[str]) -> list[str]:
    """Return what was given with commas or by repeating the option."""
    return [each.strip() for value in values for each in value.split(",") if each.strip()]


def metadata_option(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command ``--metadata KEY=VALUE``, as ``metadata``: a dict, or None without one."""
    return click.option("--metadata", multiple=True, metavar="KEY=VALUE", callback=_parse_metadata, help="Adds metadata; may be repeated.")(
        command
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a file; of a whole info, its configuration.

    Raises:
        MidgeError: there is none in it.
    """
    try:
        found = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text("utf-8"))
    except ValueError as error:
        raise MidgeError(f"{path} is no JSON: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("config"), dict):
        found = found["config"]
    if not isinstance(found, dict):
        raise MidgeError(f"{path} holds no configuration")
    return found


def changed(current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with some fields changed, and of those that are objects what is given of them."""
    result = dict(current)
    for name, value in changes.items():
        before = result.get(name)
        result[name] = before | value if isinstance(before, dict) and isinstance(value, dict) and name != "mirror" else value
    return result


def ask_about_changes(
    what: str, before: dict[str, Any], after: dict[str, Any], fields: Fields, *, force: bool, dry_run: bool, as_json: bool
) -> bool:
    """Show what an edit changes, as the fields say it, and ask whether it may; return whether there is something to do."""
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if not as_json:
        for name in names:
            say(_difference(name, before.get(name), after.get(name), fields.get(name)))
        if not names:
            say(f"Nothing to change in {what}")
    if dry_run:
        if as_json:
            print_json(after)
        return False
    if not names and not as_json:
        return False
    confirm(f"Really edit {what}?", force=force)
    return True


def _difference(name: str, before: Any, after: Any, field: tuple[str, Callable[[Any], str]] | None) -> str:
    label = name if field is None else field[0]
    show = cell if field is None else field[1]
    return f"{label}: {'-' if before is None else show(before)} -> {'-' if after is None else show(after)}"


def _option(setting: Setting) -> Callable[[Callable[..., T]], Callable[..., T]]:
    kind: Any = {"default": None, "help": setting.help, "multiple": setting.multiple}
    if setting.type is not bool:
        kind |= {"type": setting.type, "metavar": setting.metavar}
    elif "/" not in setting.option:
        kind |= {"is_flag": True}
    decorator: Callable[[Callable[..., T]], Callable[..., T]] = click.option(setting.option, setting.name, **kind)
    return decorator


def _put(config: dict[str, Any], field: str, value: Any) -> None:
    outer, dot, inner = field.partition(".")
    if not dot:
        config[field] = value
    else:
        config[outer] = (config.get(outer) or {}) | {inner: value}


def _parse_metadata(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    found = {}
    for text in values:
        name, equals, value = text.partition("=") if "=" in text else text.partition(":")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE", param=parameter)
        found[name] = value
    return found or None
