"""The flag parser against Go's ``flag`` package and nats-server's table, as plain function calls."""

from __future__ import annotations

import pytest

from midge.cli.flags import TABLE, FlagError, parse
from midge.cli.serve_options import USAGE, Settings, settings_of

# Every name in nats-server's ConfigureOptions, v2.15.
KNOWN = """h help port p n name server_name addr a net client_advertise D debug V VV trace DV DVV T logtime logtime_utc user pass auth
m http_port ms https_port c config t sl signal P pid ports_file_dir l log log_size_limit s syslog r remote_syslog version v profile
routes cluster cluster_listen cluster_advertise no_advertise connect_retries cluster_name help_tls tls tlsverify tlscert tlskey
tlscacert max_traced_msg_len js jetstream sd store_dir""".split()


def settings(*args: str) -> Settings:
    return settings_of(parse(args))


def test_the_table_knows_every_flag_of_nats_server() -> None:
    assert sorted(TABLE) == sorted(KNOWN)


@pytest.mark.parametrize("name", [name for name in KNOWN if not TABLE[name].option])
def test_an_unsupported_flag_is_refused_with_its_value(name: str) -> None:
    args = [f"-{name}"] if TABLE[name].kind is bool else [f"-{name}", "1"]
    parsed = parse([*args, "-p", "4333"])
    assert (parsed.refused, parsed.values, parsed.rest) == ([name], {"port": 4333}, [])
    with pytest.raises(ValueError, match=f"^flag -{name} is not supported yet by midge$"):
        settings_of(parsed)


@pytest.mark.parametrize("name", [name for name in KNOWN if not TABLE[name].option])
def test_an_unsupported_flag_that_asks_for_nothing_is_taken_as_nats_server_takes_it(name: str) -> None:
    nothing = {bool: "false", int: "0", str: ""}[TABLE[name].kind]
    assert settings(f"-{name}={nothing}") == settings()
    assert parse([f"-{name}={nothing}", f"-{name}=1"]).refused == [name]
    assert parse([f"-{name}=1", f"-{name}={nothing}"]).refused == []


def test_several_unsupported_flags_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="^flags -s, -r are not supported yet by midge$"):
        settings("-s", "-r", "x", "-s=true")


def test_the_usage_shows_every_supported_flag_and_no_other() -> None:
    words = set(USAGE.replace(",", " ").split())
    shown = {word.lstrip("-") for word in words if word.startswith("-") and word.lstrip("-").isidentifier()}
    assert shown == {name for name, flag in TABLE.items() if flag.option}


def test_the_usage_fits_on_a_terminal_of_80_columns() -> None:
    assert max(map(len, USAGE.splitlines())) < 80


@pytest.mark.parametrize("args", [["-p", "4333"], ["--p", "4333"], ["-p=4333"], ["--port=4333"], ["-port", "4333"], ["--p=1", "-p=4333"]])
def test_a_value_follows_a_blank_or_an_equals_sign(args: list[str]) -> None:
    assert settings(*args).options.port == 4333


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x10ED", 4333), ("0o10355", 4333), ("010355", 4333), ("0b11", 3), ("4_333", 4333), ("+4333", 4333), ("-1", -1), ("0", 0)],
)
def test_numbers_are_read_as_go_reads_them(text: str, value: int) -> None:
    assert parse(["-p", text]).values == {"port": value}


@pytest.mark.parametrize("text", ["abc", "", " 1", "1 ", "1.5", "٣", "0x", "08", "_1", "1__0", "4333\n"])
def test_a_bad_number(text: str) -> None:
    with pytest.raises(FlagError, match=r'invalid value ".*" for flag -p: parse error'):
        parse(["-p", text])


@pytest.mark.parametrize("text", [str(1 << 63), str(-(1 << 63) - 1)])
def test_a_number_out_of_range(text: str) -> None:
    with pytest.raises(FlagError, match=f'invalid value "{text}" for flag -port: value out of range'):
        parse(["--port", text])


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text: str) -> None:
    assert settings(f"-D={text}").debug


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false(text: str) -> None:
    assert not settings("-D", f"--debug={text}").debug


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-x"], "flag provided but not defined: -x"),
        (["--x=1"], "flag provided but not defined: -x"),
        (["-pp", "1"], "flag provided but not defined: -pp"),
        (["-p"], "flag needs an argument: -p"),
        (["-D", "--name"], "flag needs an argument: -name"),
        (["-D=maybe"], 'invalid boolean value "maybe" for -D: parse error'),
        (["-D="], 'invalid boolean value "" for -D: parse error'),
        (['-p=a"b'], 'invalid value "a\\"b" for flag -p: parse error'),
        (["---"], "bad flag syntax: ---"),
        (["---p"], "bad flag syntax: ---p"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--=x"], "bad flag syntax: --=x"),
    ],
)
def test_what_go_complains_about(args: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(args)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("args", "rest"),
    [
        (["-D", "foo", "-p", "1"], ["foo", "-p", "1"]),
        (["-D", "--", "-p"], ["-p"]),
        (["-"], ["-"]),
        (["-T", "false"], ["false"]),  # a boolean takes no separate value
        (["-n", "-D"], []),  # and anything else takes whatever follows
    ],
)
def test_where_the_flags_end(args: list[str], rest: list[str]) -> None:
    assert parse(args).rest == rest


def test_a_stray_word() -> None:
    with pytest.raises(ValueError, match='^unrecognized command: "foo"$'):
        settings("foo")


@pytest.mark.parametrize(
    ("args", "debug", "trace"),
    [
        ([], False, False),
        (["-D"], True, False),
        (["-V"], False, True),
        (["-VV"], False, True),
        (["-DV"], True, True),
        (["-DVV"], True, True),
        (["-DV=false", "-D", "-V"], False, False),
        (["-D", "-VV=false", "-V"], True, False),
    ],
)
def test_debug_and_trace(args: list[str], debug: bool, trace: bool) -> None:
    found = settings(*args)
    assert (found.debug, found.trace) == (debug, trace)


def test_defaults_are_those_of_nats_server() -> None:
    found = settings()
    assert (found.options.host, found.options.port, found.options.name) == ("0.0.0.0", 4222, "")
    assert (found.options.user, found.options.password, found.options.token) == (None, None, None)
    assert (found.stamp, found.utc, found.log_file, found.pid_file, found.ports_dir) == (True, False, "", "", "")
    assert settings("-p", "0", "-a", "") == found  # as nats-server takes them


@pytest.mark.parametrize("name", ["-n", "--name", "--server_name"])
def test_every_option_arrives(name: str) -> None:
    found = settings(
        *["-a", "::1", name, "one", "-T=0", "--logtime_utc", "-l", "log", "-P", "pid", "--ports_file_dir=d", "--user", "u", "--pass", "p"]
    )
    assert (found.options.host, found.options.name, found.options.user, found.options.password) == ("::1", "one", "u", "p")
    assert (found.stamp, found.utc, found.log_file, found.pid_file, found.ports_dir) == (False, True, "log", "pid", "d")
    assert settings("--auth", "secret").options.token == "secret"
    assert "secret" not in repr(settings("--auth", "secret"))


@pytest.mark.parametrize(
    "args",
    [
        ["-p", "70000"],
        ["-p", "-2"],
        ["-n", "a b"],
        ["--auth="],
        ["--user=", "--pass="],
        ["--user", "u"],
        ["--auth=t", "--user=u", "--pass=p"],
    ],
)
def test_values_that_make_no_sense(args: list[str]) -> None:
    with pytest.raises(ValueError):
        settings(*args)
