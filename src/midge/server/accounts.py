"""The accounts of a server, made from its options, with what they import from each other. Pure.

When the options change they are made anew: what the old ones had of what lasts is handed over to those of the same names.
"""

from __future__ import annotations

from midge.server.access import GLOBAL_ACCOUNT
from midge.server.account import Account
from midge.server.account_options import AccountOptions
from midge.server.agreements import agree
from midge.server.chance import Chance
from midge.server.mapping import Mappings
from midge.server.options import ServerOptions
from midge.server.service_imports import ServiceExport, ServiceImport, Services
from midge.server.stream_imports import StreamImport

__all__ = ["Accounts"]


class Accounts:
    """All accounts of one server.

    Args:
        options: the server's options.
        chance: rolls the dice for mappings that do.
        services: what the accounts ask of each other.

    Attributes:
        by_name: the accounts; the global one and the system account are always there.
    """

    def __init__(self, options: ServerOptions, chance: Chance, services: Services) -> None:
        self._chance = chance
        self._services = services
        self._gone = [0, 0, 0, 0]  # what was counted in accounts that there are no more
        self.by_name = self._made(options)

    def renew(self, options: ServerOptions) -> None:
        """Make them anew. Those whose names are no more have ended."""
        old = self.by_name
        self.by_name = self._made(options)
        for account in old.values():
            if not account.hand_over(self.by_name, self._services):
                self._gone = [gone + total for gone, total in zip(self._gone, account.totals())]

    def totals(self) -> tuple[int, int, int, int]:
        """Return in_msgs, in_bytes, out_msgs, out_bytes of all connections there ever were."""
        columns = zip(*(account.totals() for account in self.by_name.values()))
        in_msgs, in_bytes, out_msgs, out_bytes = (sum(column, gone) for column, gone in zip(columns, self._gone))
        return in_msgs, in_bytes, out_msgs, out_bytes

    def _made(self, options: ServerOptions) -> dict[str, Account]:
        configured = {GLOBAL_ACCOUNT: AccountOptions(name=GLOBAL_ACCOUNT, mappings=options.mappings)}
        configured[options.system_account] = AccountOptions(name=options.system_account)
        configured |= {each.name: each for each in options.accounts}
        accounts = {name: Account(each, options.max_subscriptions, options.max_payload) for name, each in configured.items()}
        for name, each in configured.items():
            if each.mappings:
                accounts[name].mappings = Mappings(each.mappings, self._chance.below)
        self._wire(accounts, options)
        return accounts

    def _wire(self, accounts: dict[str, Account], options: ServerOptions) -> None:
        """Connect what the accounts import with those who export it."""
        services = self._services
        agreements = agree(options.accounts)
        for name, streams in agreements.streams.items():
            accounts[name].streams.extend(StreamImport(route, name, accounts[route.exporter]) for route in streams)
        exports: dict[tuple[str, int], ServiceExport] = {}  # by account and identity of its options: both may be there twice
        for name, routes in agreements.services.items():
            for route in routes:
                export = exports.setdefault((route.exporter, id(route.export)), ServiceExport(route.export))
                accounts[name].use(services)
                relay = ServiceImport(route, accounts[name], accounts[route.exporter], export)
                accounts[name].sublist.insert(relay.subscription())
                accounts[route.exporter].use(services)
