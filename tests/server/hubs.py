"""A hub with clients that need no socket: what the driver does, done by hand, with the time passed in."""

import json
from typing import Any

from midge.server.access import User
from midge.server.account_options import AccountOptions
from midge.server.hub import Hub
from midge.server.options import ServerOptions
from midge.server.session import Session

QUIET = {"verbose": False, "pedantic": False}


def new_hub(seed: int = 1, **options: Any) -> Hub:
    """A hub with these options."""
    return Hub(ServerOptions(**options), "NSERVER", seed)


def connect_line(**fields: Any) -> bytes:
    """A CONNECT that is neither verbose nor pedantic unless the fields say so."""
    return b"CONNECT " + json.dumps(QUIET | fields).encode() + b"\r\n"


def info(line: bytes) -> dict[str, Any]:
    """The content of an INFO line."""
    assert line.startswith(b"INFO {") and line.endswith(b"} \r\n"), line
    found: dict[str, Any] = json.loads(line[5:])
    return found


class Client:
    """One session and its driver. It takes what the server sends, unless ``takes`` is False: then it reads nothing any more."""

    def __init__(self, hub: Hub, address: str = "127.0.0.1:4000", now: float = 0.0, jitter: float = 0.0) -> None:
        self.hub = hub
        self.session: Session = hub.admission.connect(address, now, jitter)
        self.session.transport = self
        self.takes = True
        self.flushes = 0
        self.got = b""
        self.session.start()
        hub.flush()

    def flush(self) -> None:
        """What the hub calls."""
        self.flushes += 1
        if self.takes:
            self.got += self.session.data_to_send()
        else:
            self.session.blocked = True

    def say(self, data: bytes, now: float = 0.0) -> None:
        """Send data, all in one read of the server's, in as many turns as it takes."""
        done = self.session.receive_data(data, now)
        self.hub.flush()
        while not done:
            done = self.hub.proceed(self.session, now)
            self.hub.flush()

    def heard(self) -> bytes:
        """What came since the last call."""
        got, self.got = self.got, b""
        return got

    def ask(self, data: bytes, now: float = 0.0) -> bytes:
        """Send data and return what comes back at once."""
        self.heard()
        self.say(data, now)
        return self.heard()

    def wait(self) -> float:
        """Let the time pass until the next deadline, and return it."""
        deadline = self.session.next_deadline()
        assert deadline is not None
        self.at(deadline)
        return deadline

    def at(self, now: float) -> None:
        """Tell the time."""
        self.session.handle_timeout(now)
        self.hub.flush()


def new_client(hub: Hub, data: bytes = b"", now: float = 0.0, **fields: Any) -> Client:
    """A client that has said CONNECT with these fields, then the data, and has heard the answers."""
    client = Client(hub, now=now)
    client.say(connect_line(**fields) + data, now)
    client.heard()
    return client


def accounts_hub(*accounts: AccountOptions, **options: Any) -> Hub:
    """A hub with these accounts, and in each a user who is called as it in lower case."""
    users = tuple(User(user=account.name.lower(), password="p", account=account.name) for account in accounts)
    return new_hub(accounts=accounts, users=users, **options)


def member(hub: Hub, account: str, data: bytes = b"", **fields: Any) -> Client:
    """A client of an account, as ``new_client``."""
    return new_client(hub, data, user=account.lower(), **{"pass": "p"}, **fields)
