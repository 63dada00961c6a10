"""Wiring: the accounts of a server, made from its options, with what they import from each other. Pure."""

from __future__ import annotations

from collections.abc import Callable

from midge.server.access import GLOBAL_ACCOUNT
from midge.server.account import Account
from midge.server.account_options import AccountOptions
from midge.server.agreements import agree
from midge.server.mapping import Mappings
from midge.server.options import ServerOptions
from midge.server.service_imports import ServiceExport, ServiceImport, Services
from midge.server.stream_imports import StreamImport

__all__ = ["make_accounts", "wire"]


def make_accounts(options: ServerOptions, choose: Callable[[int], int]) -> dict[str, Account]:
    """Return the accounts by name; the global one and the system account are always there. ``choose`` rolls a number below its argument."""
    configured = {GLOBAL_ACCOUNT: AccountOptions(name=GLOBAL_ACCOUNT, mappings=options.mappings)}
    configured[options.system_account] = AccountOptions(name=options.system_account)
    configured |= {each.name: each for each in options.accounts}
    accounts = {name: Account(each, options.max_subscriptions, options.max_payload) for name, each in configured.items()}
    for name, each in configured.items():
        if each.mappings:
            accounts[name].mappings = Mappings(each.mappings, choose)
    return accounts


def wire(accounts: dict[str, Account], options: ServerOptions, services: Services) -> None:
    """Connect what the accounts import with those who export it."""
    agreements = agree(options.accounts)
    for name, streams in agreements.streams.items():
        accounts[name].streams.extend(StreamImport(route, accounts[route.exporter]) for route in streams)
    exports: dict[tuple[str, int], ServiceExport] = {}  # by account and identity of its options: both may be there twice
    for name, routes in agreements.services.items():
        for route in routes:
            export = exports.setdefault((route.exporter, id(route.export)), ServiceExport(route.export))
            accounts[name].use(services)
            relay = ServiceImport(route, accounts[name], accounts[route.exporter], export)
            accounts[name].sublist.insert(relay.subscription())
            accounts[route.exporter].use(services)
