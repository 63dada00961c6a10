"""server.account: limits, isolation, statistics; and a model of several accounts with imports and mappings."""

import pytest
from hubs import Client, accounts_hub, info, member
from hypothesis import given, settings
from hypothesis import strategies as st

from midge.server.access import User
from midge.server.account_options import AccountOptions, Destination, Export, Import, MsgTrace
from midge.server.options import ServerOptions
from midge.server.reasons import MAX_ACCOUNT_CONNECTIONS
from midge.subject import matches


def test_who_is_in_one_account_hears_nothing_of_another() -> None:
    hub = accounts_hub(AccountOptions(name="A"), AccountOptions(name="B"))
    a, b = member(hub, "A", b"SUB > 1\r\n"), member(hub, "B", b"SUB > 1\r\n")
    a.say(b"PUB x 1\r\na\r\n")
    assert (a.heard(), b.heard()) == (b"MSG x 1 1\r\na\r\n", b"")


def test_statistics_are_an_accounts_own() -> None:
    hub = accounts_hub(AccountOptions(name="A"), AccountOptions(name="B"))
    a, _ = member(hub, "A", b"SUB > 1\r\n"), member(hub, "B", b"SUB > 1\r\n")
    a.say(b"PUB x 3\r\nabc\r\n")
    assert hub.accounts["A"].totals() == (1, 3, 1, 3)
    assert hub.accounts["B"].totals() == hub.accounts["$G"].totals() == (0, 0, 0, 0)


def test_connections_are_counted_as_they_come_and_go() -> None:
    hub = accounts_hub(AccountOptions(name="A", max_connections=1), AccountOptions(name="B"))
    first, second = member(hub, "A"), Client(hub)
    second.say(b'CONNECT {"user":"a","pass":"p","verbose":false,"pedantic":false}\r\n')
    assert second.heard().endswith(b"-ERR 'maximum account active connections exceeded'\r\n")
    assert second.session.closing == MAX_ACCOUNT_CONNECTIONS
    first.session.close("gone")
    assert member(hub, "A").session.closing is None
    assert member(hub, "B").session.closing is None


def test_a_second_connect_does_not_count_twice() -> None:
    hub = accounts_hub(AccountOptions(name="A", max_connections=1))
    client = member(hub, "A")
    client.say(b'CONNECT {"verbose":false}\r\n')
    assert client.session.closing is None


def test_info_tells_the_accounts_own_payload_limit() -> None:
    hub = accounts_hub(AccountOptions(name="A", max_payload=100))
    client = Client(hub)
    assert info(client.heard())["max_payload"] == 1 << 20
    client.say(b'CONNECT {"user":"a","pass":"p","verbose":false,"protocol":1}\r\nPING\r\n')
    pong, line = client.heard().split(b"\r\n", 1)
    assert pong == b"PONG" and info(line)["max_payload"] == 100 and line.count(b"max_payload") == 1


@pytest.mark.parametrize("accounts, text", [
    ((AccountOptions(name="$G"),), "Reserved Account"),
    ((AccountOptions(name="A"), AccountOptions(name="A")), "Duplicate Account Entry: A"),
    ((AccountOptions(name=""),), "needs a name"), ((AccountOptions(name="A", nkey="UABC"),), "Not a valid public nkey for an account"),
    ((AccountOptions(name="A", max_payload=-2),), "max_payload -2"),
    ((AccountOptions(name="A", exports=(Export(kind="other", subject="a"),)),), "other"),
    ((AccountOptions(name="A", exports=(Export(kind="service", subject="a", response="Many"),)),), "Unknown response type"),
    ((AccountOptions(name="A", exports=(Export(kind="stream", subject="a", response="Stream"),)),), "non-service"),
    ((AccountOptions(name="A", imports=(Import(kind="stream", account="A", subject="a", to="b", prefix="c"),)),), "'prefix' and a 'to'"),
    ((AccountOptions(name="A", imports=(Import(kind="service", account="A", subject="a", allow_trace=True),)),), "non-stream"),
    ((AccountOptions(name="A", exports=(Export(kind="stream", subject="a", allow_trace=True),)),), "non-service"),
    ((AccountOptions(name="A", msg_trace=MsgTrace(dest="a.>")),), 'Trace destination "a.>" is not valid'),
    ((AccountOptions(name="A", msg_trace=MsgTrace(dest="a", sampling=0)),), "sampling value 0 is invalid"),
])  # fmt: skip
def test_refused(accounts: tuple[AccountOptions, ...], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ServerOptions(accounts=accounts)
    assert text in str(caught.value)


def test_a_user_of_an_account_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match='account "X" missing'):
        ServerOptions(users=(User(user="u", password="p", account="X"),))
    with pytest.raises(ValueError, match="account missing"):
        ServerOptions(system_account="X")


def test_an_account_that_may_have_no_subscription_lets_nobody_in() -> None:
    hub = accounts_hub(AccountOptions(name="A", max_subscriptions=0))
    client = Client(hub)
    client.say(b'CONNECT {"user":"a","pass":"p","verbose":false,"pedantic":false}\r\n')
    assert client.heard().endswith(b"-ERR 'maximum subscriptions exceeded'\r\n")
    assert client.session.closing == "Maximum Subscriptions Exceeded"


# A model: what each account hears of what another publishes, worked out message by message

NAMES = "ABC"
Named = tuple[str, str]  # an account, and a subject
TOKENS = st.sampled_from(["x", "y", "z"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=3).map(".".join)
PATTERNS = st.lists(st.sampled_from(["x", "y", "z", "*"]), min_size=1, max_size=3).flatmap(
    lambda tokens: st.sampled_from([".".join(tokens), ".".join([*tokens, ">"])])
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[AccountOptions, ...]:
    """Three accounts that export everything, import this and that by a prefix, and map a few subjects."""
    accounts = []
    for name in NAMES:
        others = [other for other in NAMES if other < name]  # so that there is no cycle
        imports = [
            Import(kind="stream", account=draw(st.sampled_from(others)), subject=draw(PATTERNS), prefix=f"from.{number}")
            for number in range(draw(st.integers(0, 2)) if others else 0)
        ]
        unique = {(each.account, each.subject): each for each in imports}
        mappings = draw(st.dictionaries(SUBJECTS, SUBJECTS.map(lambda subject: (Destination(subject=subject),)), max_size=2))
        export = Export(kind="stream", subject=">")
        accounts.append(AccountOptions(name=name, exports=(export,), imports=tuple(unique.values()), mappings=mappings))
    return tuple(accounts)


def expected(accounts: tuple[AccountOptions, ...], publisher: str, subject: str, listener: str, pattern: str) -> list[str]:
    """The subjects under which somebody hears one message."""
    mappings = next(account.mappings for account in accounts if account.name == publisher)
    really = mappings[subject][0].subject if subject in mappings else subject
    heard = [really] if publisher == listener and matches(pattern, really) else []
    for each in next(account.imports for account in accounts if account.name == listener):
        if each.account == publisher and matches(each.subject, really) and matches(pattern, f"{each.prefix}.{really}"):
            heard.append(f"{each.prefix}.{really}")
    return sorted(heard)


@settings(max_examples=150, deadline=None)
@given(
    worlds(), st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(PATTERNS, PATTERNS.map("from.0.{}".format), st.just(">"))), max_size=6),
    st.lists(st.tuples(st.sampled_from(NAMES), SUBJECTS), max_size=6), st.data(),
)  # fmt: skip
def test_who_hears_what(accounts: tuple[AccountOptions, ...], subs: list[Named], pubs: list[Named], data: st.DataObject) -> None:
    hub = accounts_hub(*accounts)
    listeners = [(account, pattern, member(hub, account, f"SUB {pattern} 1\r\n".encode())) for account, pattern in subs]
    publishers = {name: member(hub, name) for name in NAMES}
    gone = data.draw(st.sets(st.sampled_from(range(len(listeners))) if listeners else st.nothing()))
    for number in gone:
        listeners[number][2].say(b"UNSUB 1\r\n")
    for publisher, subject in pubs:
        publishers[publisher].say(f"PUB {subject} 0\r\n\r\n".encode())
        for number, (account, pattern, client) in enumerate(listeners):
            heard = sorted(line.split()[1].decode() for line in client.heard().split(b"\r\n") if line)
            assert heard == ([] if number in gone else expected(accounts, publisher, subject, account, pattern))
    for name in NAMES:
        assert hub.accounts[name].totals()[0] == sum(publisher == name for publisher, _ in pubs)
    for _, _, client in listeners:
        client.session.close("gone")
    assert all(hub.accounts[name].sublist.count == 0 for name in NAMES)
