"""Options that become fields of a configuration: one table says the option, the field of the server's JSON, and what a value becomes.

What is not given is not in the configuration: the server has defaults for a new stream, and an edit leaves it as it is. ``--config FILE``
gives a whole configuration in the server's JSON, as ``info --json`` prints it, and the options change what it says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from midge.cli.jetstream import Api, run
from midge.cli.render import Fields, cell, confirm, print_json, say
from midge.cli.target import Target
from midge.errors import MidgeError

__all__ = [
    "Edit",
    "Setting",
    "changed",
    "commas",
    "edit_config",
    "given",
    "metadata_option",
    "placement_changes",
    "placement_options",
    "read_config",
    "settings_options",
]

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


def placement_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the options that say which servers keep a stream; ``placement_changes`` makes a configuration of their values."""
    for option in (
        click.option("--tag", "tags", metavar="TAG", multiple=True, help="Servers with this tag keep it; may be repeated."),
        click.option("--cluster", metavar="NAME", help="The cluster that keeps it."),
        click.option("--replicas", type=click.IntRange(min=1), help="How many servers of a cluster keep it."),
    ):
        command = option(command)
    return command


def placement_changes(values: dict[str, Any]) -> dict[str, Any]:
    """Return what those options change in a configuration."""
    tags, cluster, replicas = commas(values["tags"]), values["cluster"], values["replicas"]
    placement = ({"cluster": cluster} if cluster else {}) | ({"tags": tags} if tags else {})
    return ({"num_replicas": replicas} if replicas else {}) | ({"placement": placement} if placement else {})


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


class Edit(NamedTuple):
    """What ``edit`` does to something.

    Attributes:
        what: it is called.
        fields: how people are told of its configuration.
        read: returns the configuration there is.
        change: returns what becomes of it.
        apply: has the server take that; returns the server's answer.
        show: prints the answer for people.
    """

    what: str
    fields: Fields
    read: Callable[[Api], Awaitable[dict[str, Any]]]
    change: Callable[[dict[str, Any]], dict[str, Any]]
    apply: Callable[[Api, dict[str, Any]], Awaitable[dict[str, Any]]]
    show: Callable[[dict[str, Any]], None]


def edit_config(target: Target, name: str, edit: Edit, *, force: bool, dry_run: bool, as_json: bool) -> None:
    """Change a configuration, after showing what would change and asking whether it may."""

    async def ask(api: Api) -> dict[str, Any] | None:
        before = await edit.read(api)
        after = edit.change(before)
        if not _may(edit, before, after, force=force, dry_run=dry_run, as_json=as_json):
            return None
        return await edit.apply(api, after)

    found = run(target, name, ask)
    if found is not None and as_json:
        print_json(found)
    elif found is not None:
        edit.show(found)


def _may(edit: Edit, before: dict[str, Any], after: dict[str, Any], *, force: bool, dry_run: bool, as_json: bool) -> bool:
    """Show what an edit changes and ask whether it may; return whether there is something to do."""
    names = [name for name in before | after if before.get(name) != after.get(name)]
    if not as_json:
        for name in names:
            say(_difference(name, before.get(name), after.get(name), edit.fields.get(name)))
        if not names:
            say(f"Nothing to change in {edit.what}")
    if dry_run:
        if as_json:
            print_json(after)
        return False
    if not names and not as_json:
        return False
    confirm(f"Really edit {edit.what}?", force=force)
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
