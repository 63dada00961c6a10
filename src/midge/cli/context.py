"""``midge context``: the contexts of the ``nats`` command, which say where servers are and who one is there."""

from __future__ import annotations

import re
from typing import Any

import click
from click.core import ParameterSource

from midge.cli.context_file import FIELDS, FILES, Contexts
from midge.cli.jetstream import js_parameters
from midge.cli.lazy_group import LazyGroup
from midge.cli.output import json_option
from midge.cli.render import cell, confirm, force_option, print_description, print_json, print_table, say
from midge.cli.target import complete_contexts, connection_options
from midge.errors import MidgeError

__all__ = ["add", "list_contexts", "previous", "remove", "select", "show", "unselect"]

_SECRETS = {"password", "token", "user_jwt", "user_seed"}
_HIDDEN = "********"

command = LazyGroup(
    "context",
    help="Manage contexts, which say where servers are and who one is there: the same files that the nats command has.",
    short_help="Where servers are, by name.",
    places={
        "ls": "context:list_contexts",
        "add": "context:add",
        "select": "context:select",
        "unselect": "context:unselect",
        "previous": "context:previous",
        "show": "context:show",
        "rm": "context:remove",
    },
    aliases={"list": "ls", "save": "add", "create": "add", "switch": "select", "set": "select", "info": "show", "remove": "rm"},
)


@click.command("ls", short_help="List the contexts.")
@click.option("--names", "-n", "names_only", is_flag=True, help="Print names alone.")
@json_option
def list_contexts(names_only: bool, as_json: bool) -> None:
    """List the contexts; a * marks the one that is selected."""
    contexts = Contexts()
    names, selected = contexts.names(), contexts.selected
    if as_json:
        print_json(names if names_only else [{"name": name, "selected": name == selected} | _loaded(contexts, name) for name in names])
    elif names_only:
        for name in names:
            say(name)
    elif not names:
        say("There are no contexts")
    else:
        print_table(("name", "description", "url"), [_row(contexts, name) for name in names], left=3)


@click.command("add", short_help="Add a context, or change one.")
@click.argument("name", shell_complete=complete_contexts)
@click.option("--description", help="What it is.")
@click.option("--select", "is_selected", is_flag=True, help="Select it.")
@click.option("--jwt", help="A user's JWT.")
@click.option("--seed", help="A user's seed.")
@click.option("--inbox-prefix", metavar="PREFIX", help="What subjects of answers begin with.")
@json_option
@js_parameters
@connection_options
@click.pass_context
def add(ctx: click.Context, /, name: str, description: str | None, is_selected: bool, as_json: bool, **values: Any) -> None:
    """Add the context NAME, or change what is given of it. What only the environment says is not in it."""
    contexts = Contexts()
    context = contexts.load(name) if name in contexts.names() else {"description": "", "url": ""}
    for field, attribute in FIELDS.items():
        if ctx.get_parameter_source(attribute) is ParameterSource.COMMANDLINE:
            value = values[attribute]
            context[field] = str(value.expanduser().absolute()) if field in FILES else value
    if description is not None:
        context["description"] = description
    contexts.save(name, context)
    if is_selected:
        contexts.select(name)
    if as_json:
        print_json(context)
    else:
        _print(name, context)


@click.command("select", short_help="Select a context.")
@click.argument("name", shell_complete=complete_contexts)
@json_option
def select(name: str, as_json: bool) -> None:
    """Let the context NAME be used where a command names neither a context nor a server."""
    _select(Contexts(), name, as_json=as_json)


@click.command("unselect", short_help="Select no context.")
@json_option
def unselect(as_json: bool) -> None:
    """Let no context be used where a command names none."""
    _select(Contexts(), None, as_json=as_json)


@click.command("previous", short_help="Select the context that was selected before.")
@json_option
def previous(as_json: bool) -> None:
    """Select the context that was selected before."""
    contexts = Contexts()
    name = contexts.previous
    if name is None:
        raise MidgeError("no context was selected before")
    _select(contexts, name, as_json=as_json)


@click.command("show", short_help="Show a context.")
@click.argument("name", required=False, shell_complete=complete_contexts)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show the context NAME, or the one that is selected. With --json nothing is hidden."""
    contexts = Contexts()
    chosen = name or contexts.selected
    if chosen is None:
        raise MidgeError("no context is selected")
    context = contexts.load(chosen)
    if as_json:
        print_json(context)
    else:
        _print(chosen, context)


@click.command("rm", short_help="Remove a context.")
@click.argument("name", shell_complete=complete_contexts)
@force_option
@json_option
def remove(name: str, force: bool, as_json: bool) -> None:
    """Remove the context NAME."""
    contexts = Contexts()
    if name not in contexts.names():
        raise MidgeError(f"there is no context {name!r}")
    confirm(f"Really delete context {name}?", force=force)
    contexts.remove(name)
    if as_json:
        print_json({"success": True})
    else:
        say(f"Deleted context {name}")


def _select(contexts: Contexts, name: str | None, *, as_json: bool) -> None:
    contexts.select(name)
    if as_json:
        print_json({"selected": name})
    else:
        say("No context is selected" if name is None else f"Selected context {name}")


def _loaded(contexts: Contexts, name: str) -> dict[str, Any]:
    """Return what a context says, or why that is unknown: one that is damaged does not hide the others."""
    try:
        return {"context": contexts.load(name)}
    except (MidgeError, OSError) as error:
        return {"error": str(error)}


def _row(contexts: Contexts, name: str) -> list[str]:
    found = _loaded(contexts, name)
    context = found.get("context") or {"description": found.get("error")}
    return [f"{name}*" if name == contexts.selected else name, cell(context.get("description")), _masked(context.get("url"))]


def _print(name: str, context: dict[str, Any]) -> None:
    said = {field: value for field, value in context.items() if value not in (None, "", False, [])}
    rows = [(field, _HIDDEN if field in _SECRETS else _masked(value)) for field, value in said.items()]
    print_description(f"Context {name}", [(str(Contexts().path(name)), rows)])


def _masked(value: Any) -> str:
    return re.sub("(?<=//)[^/@,]*(?=@)", _HIDDEN, cell(value))
