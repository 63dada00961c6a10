"""server.jetstream_options: what is refused, who may use streams, and what of it may change while a server runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from midge.server.account_options import AccountOptions
from midge.server.config.check import check
from midge.server.config.errors import ConfigError
from midge.server.config.options import options_of
from midge.server.jetstream_options import AccountJetStream, JetStreamLimits, JetStreamOptions
from midge.server.options import ServerOptions
from midge.server.reload import changes

ON = ServerOptions(jetstream=JetStreamOptions(max_memory_store=100, max_file_store=100), store_dir="d")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sync_interval": 0}, "sync_interval 0: expected more than 0"),
        ({"sync_interval": float("inf")}, "sync_interval inf: expected more than 0, and finite"),
        ({"sync_interval": "2m"}, 'sync_interval \'2m\': expected "always", "os", or seconds'),
        ({"max_memory_store": -2}, "max_memory_store -2: expected -1 or more"),
        ({"max_file_store": 1 << 63}, "a number of 63 bits"),
        ({"request_queue_limit": 0}, "request_queue_limit 0: expected 1 or more"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        JetStreamOptions(**options)
    assert text in str(caught.value)


@pytest.mark.parametrize("options", [{"domain": 5}, {"strict": 1}, {"max_memory_store": 1.5}, {"limits": {}}, {"info_queue_limit": True}])
def test_what_has_the_wrong_type(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        JetStreamOptions(**options)


def test_limits_are_numbers_that_fit() -> None:
    with pytest.raises(ValueError, match=r"an account's max_streams -2: expected -1 or more"):
        AccountJetStream(max_streams=-2)
    with pytest.raises(ValueError, match=r"max_batch_timeout nan: expected 0 or more, and finite"):
        JetStreamLimits(max_batch_timeout=float("nan"))
    with pytest.raises(ValueError, match=r"max_ack_pending -1: expected 0 or more"):
        JetStreamLimits(max_ack_pending=-1)


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        ("a b", 'invalid domain name: derived "$JS.a b.API.>" is not a valid subject'),
        ("a.b", "invalid domain name: may not contain ., * or >"),
        ("*", "invalid domain name: may not contain ., * or >"),
    ],
)
def test_a_domain_is_one_token_in_nats_servers_words(domain: str, text: str) -> None:
    options = {"jetstream": JetStreamOptions(domain=domain)}
    with pytest.raises(ConfigError) as caught:
        check(options)
    assert caught.value.errors == (text,)
    with pytest.raises(ValueError) as refused:
        ServerOptions(**options)  # type: ignore[arg-type]
    assert str(refused.value) == text


def test_a_directory_switches_it_on_and_false_off_for_good(tmp_path: Path) -> None:
    assert ServerOptions().jetstream is None
    assert ServerOptions(store_dir=tmp_path).jetstream == JetStreamOptions()  # type: ignore[arg-type]
    assert ServerOptions(store_dir=tmp_path).store_dir == str(tmp_path)  # type: ignore[arg-type]
    assert ServerOptions(jetstream=True).store_dir == ""  # type: ignore[arg-type]
    off = ServerOptions(jetstream=False, store_dir="d")  # type: ignore[arg-type]
    assert off.jetstream is None and replace(off, port=0).jetstream is None


def test_a_keyword_switches_on_what_a_configuration_describes() -> None:
    config = {"jetstream": {"domain": "hub", "store_dir": "d"}}
    assert options_of(config, {"jetstream": True}).jetstream == JetStreamOptions(domain="hub")
    assert options_of(config, {"jetstream": False}).jetstream is None
    assert options_of({"store_dir": "d"}, {}).jetstream is None
    assert options_of({"store_dir": "d"}, {"jetstream": True}).store_dir == "d"


def test_without_accounts_everybody_may_use_all_and_with_accounts_those_that_say_so() -> None:
    assert ServerOptions().jetstream_accounts() == {}
    assert ON.jetstream_accounts() == {"$G": AccountJetStream()}
    limits = AccountJetStream(max_streams=3)
    accounts = (AccountOptions(name="A", jetstream=limits), AccountOptions(name="B"))
    assert replace(ON, accounts=accounts).jetstream_accounts() == {"A": limits}
    with pytest.raises(ValueError, match="jetstream can not be enabled on the system account"):
        ServerOptions(accounts=(AccountOptions(name="$SYS", jetstream=limits),))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"max_memory_store": 99}, "decreasing jetstream max memory and store"),
        ({"max_file_store": -1}, "jetstream max memory and max store"),
        ({"domain": "d"}, "JetStream: domain"),
        ({"sync_interval": 1.0, "strict": False}, "JetStream: sync_interval, strict"),
    ],
)
def test_what_of_it_cannot_be_changed(change: dict[str, Any], text: str) -> None:
    assert ON.jetstream is not None
    with pytest.raises(ValueError) as caught:
        changes(ON, replace(ON, jetstream=replace(ON.jetstream, **change)))
    assert str(caught.value) == f"config reload not supported for {text}"


def test_limits_may_grow_and_nothing_else_may_change() -> None:
    assert ON.jetstream is not None
    assert changes(ON, replace(ON, jetstream=replace(ON.jetstream, max_memory_store=101, max_file_store=102))) == ("jetstream",)
    dynamic = replace(ON, jetstream=replace(ON.jetstream, max_memory_store=-1))
    with pytest.raises(ValueError, match="^config reload not supported for jetstream dynamic max memory and store$"):
        changes(dynamic, ON)
    with pytest.raises(ValueError, match="^config reload not supported for jetstream storage directory$"):
        changes(ON, replace(ON, store_dir="e"))
    with pytest.raises(ValueError, match="^config reload not supported for JetStream: old=true, new=false$"):
        changes(ON, ServerOptions())
