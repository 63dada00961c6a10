"""From a configuration to the fields of ServerOptions."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from certificates import authority, server_certificate

from midge.server.access import Permissions, Responses, User
from midge.server.account_options import AccountOptions, Destination, Export, Import, Latency, MsgTrace
from midge.server.config.check import check
from midge.server.config.errors import ConfigError
from midge.server.config.load import Configuration, load, load_text
from midge.server.config.options import options_of
from midge.server.config.settings import NAMES, Settings
from midge.server.config.top import Top
from midge.server.jetstream_options import AccountJetStream, JetStreamLimits, JetStreamOptions
from midge.server.listener_options import ServerTLS, WebSocketListener
from midge.server.options import ServerOptions
from midge.server.server import Server

NKEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def options(text: str) -> dict[str, Any]:
    """What the text says, and nothing about where it comes from."""
    found = load_text(text, "f.conf").options
    return {name: value for name, value in found.items() if not name.startswith("config_")}


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.conf")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("listen: 127.0.0.1:4333", {"host": "127.0.0.1", "port": 4333}),
        ("listen: 4333", {"port": 4333}),
        (f"listen: 'a:{'0' * 5000}80'", {"host": "a", "port": 80}),
        ('listen: "[::1]:-1"', {"host": "::1", "port": -1}),
        ("net: localhost\nPORT: -1", {"host": "localhost", "port": -1}),
        ("port: 0", {}),
        ("server_name: a\nclient_advertise: b", {"name": "a", "client_advertise": "b"}),
        ("max_payload: 2MB\nmax_pending: 10MB\nmax_control_line: 4kb",
         {"max_payload": 2 << 20, "max_pending": 10 << 20, "max_control_line": 4096}),
        ("max_conn: 0\nmax_subs: 10", {"max_connections": 0, "max_subscriptions": 10}),
        ("max_connections: -1\nmax_subscriptions: -1", {"max_connections": 0, "max_subscriptions": 0}),
        ("max_sub_tokens: 3\nmax_traced_msg_len: 4\nmax_closed_clients: 5",
         {"max_sub_tokens": 3, "max_traced_msg_len": 4, "max_closed_clients": 5}),
        ('ping_interval: "1m30s"\nping_max: 3\nwrite_deadline: "500ms"', {"ping_interval": 90.0, "ping_max": 3, "write_deadline": 0.5}),
        ('lame_duck_duration: "1m"\nlame_duck_grace_period: "5s"', {"lame_duck_duration": 60.0, "lame_duck_grace_period": 5.0}),
        ("http: 127.0.0.1:8222\nhttps_port: 8443\nhttp_base_path: /x",
         {"http_host": "127.0.0.1", "http_port": 8222, "https_port": 8443, "http_base_path": "/x"}),
        ("monitor_port: -1", {"http_port": -1}),
        ("server_tags: ['A', b, a ]\nserver_metadata {x: y}", {"server_tags": ("a", "b"), "server_metadata": {"x": "y"}}),
        ("no_header_support: yes\nallow_non_tls: on",
         {"no_header_support": True, "allow_non_tls": True}),
        ("system_account: SYS\nno_auth_user: x", {"system_account": "SYS", "no_auth_user": "x"}),
        ("jetstream: disabled\nwrite_timeout: close\nno_system_account: false\nconnect_error_reports: 3\nfeature_flags {}",
         {"jetstream": False}),
        ("jetstream {enabled: false, store_dir: x}\nsyslog: off\nocsp: false\ndisable_sublist_cache: false",
         {"jetstream": False, "store_dir": "x"}),
        ("store_dir: x", {"jetstream": False, "store_dir": "x"}),
        ("jetstream: enabled\nstoredir: x", {"jetstream": True, "store_dir": "x"}),
        ("jetstream {max_mem: 1G, max_file: '10T', store: /x, sync: Always, domain: d, strict: off,"
         " request_queue_limit: 7, info_queue_limit: 0}",
         {"store_dir": "/x", "jetstream": JetStreamOptions(
             max_memory_store=10**9, max_file_store=10 << 40, domain="d", strict=False, request_queue_limit=7)}),
        ("jetstream {sync_interval: '2m', max_mem: -7, unique_tag: a, meta_compact: 5, max_outstanding_catchup: '1M', extension_hint: x}",
         {"jetstream": JetStreamOptions(sync_interval=120.0)}),
        ("jetstream {sync_interval: os, limits {max_ack_pending: 1, max_ha_assets: 2, max_request_batch: 3, duplicate_window: '4s',"
         " default_max_consumers: 9, batch {max_inflight_per_stream: 5, max_inflight_total: 6, max_msgs: 7, timeout: '8s'}}}",
         {"jetstream": JetStreamOptions(sync_interval="os", limits=JetStreamLimits(
             max_ack_pending=1, max_request_batch=3, duplicate_window=4.0, max_batch_inflight_per_stream=5, max_batch_inflight_total=6,
             max_batch_size=7, max_batch_timeout=8.0, default_max_consumers=9))}),
        ("jetstream {limits {default_max_consumers: -5}}",
         {"jetstream": JetStreamOptions(limits=JetStreamLimits(default_max_consumers=-1))}),
        ("accounts {A {jetstream: enabled}, B {jetstream {mem: 1, disk: 2, streams: 3, consumers: -4, max_bytes: true, max_ack_pending: 5,"
         " mem_max_stream_bytes: 6, disk_max_stream_bytes: 7, cluster_traffic: owner}}, C {jetstream: disable}}",
         {"accounts": (
             AccountOptions(name="A", jetstream=AccountJetStream()),
             AccountOptions(name="B", jetstream=AccountJetStream(
                 max_memory=1, max_store=2, max_streams=3, max_bytes_required=True, max_ack_pending=5, memory_max_stream_bytes=6,
                 store_max_stream_bytes=7)),
             AccountOptions(name="C"))}),
        ("authorization {user: a, password: b, timeout: 0.5}", {"user": "a", "password": "b", "auth_timeout": 0.5}),
        ("authorization {user: a}", {"user": "a", "password": ""}),
        ("authorization {token: $2a$11$abc}", {"token": "$2a$11$abc"}),
        ("mappings {a: b, c: [{dest: d, weight: 30%}, {destination: e, weight: 20, cluster: x}], f: {dest: g, weight: 100}}",
         {"mappings": {"a": (Destination(subject="b"),),
                       "c": (Destination(subject="d", weight=30), Destination(subject="e", weight=20, cluster="x")),
                       "f": (Destination(subject="g"),)}}),
    ],
)  # fmt: skip
def test_what_keys_become(text: str, wanted: dict[str, Any]) -> None:
    assert options(text) == wanted


def test_users_and_their_permissions() -> None:
    found = options(
        f"""authorization {{
        default_permissions {{ publish: "d.>" }}
        users: [
            {{user: a, password: b}}
            {{nkey: {NKEY}, permissions {{ subscribe {{allow: ["x", "y q"], deny: z}}, publish {{deny: p}} }} }}
            {{user: c, pass: d, permissions {{allow_responses: true}}, connection_types: [websocket, STANDARD ]}}
            {{user: e, permissions {{allow_responses {{max: 5, expires: "1m"}}, publish: [f ]}} }}
            {{user: g, permissions {{publish: {{}}, sub: [] }} }}
        ]
        timeout: 3
    }}"""
    )
    assert found == {
        "auth_timeout": 3.0,
        "users": (
            User(user="a", password="b", permissions=Permissions(publish_allow=("d.>",))),
            User(nkey=NKEY, permissions=Permissions(publish_deny=("p",), subscribe_allow=("x", "y q"), subscribe_deny=("z",))),
            User(
                user="c",
                password="d",
                permissions=Permissions(publish_allow=(), responses=Responses()),
                connection_types=("WEBSOCKET", "STANDARD"),
            ),
            User(user="e", permissions=Permissions(publish_allow=("f",), responses=Responses(max_msgs=5, expires=60.0))),
            User(user="g", permissions=Permissions()),
        ),
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("msg_trace: t.1", MsgTrace(dest="t.1", sampling=100)),
        ("trace_dest: t.1", MsgTrace(dest="t.1")),
        ("msg_trace {dest: t.1}", MsgTrace(dest="t.1", sampling=100)),
        ('msg_trace {Dest: t.1, sampling: "25%"}', MsgTrace(dest="t.1", sampling=25)),
        ("msg_trace {}", None),
    ],
)
def test_where_messages_are_traced(text: str, wanted: MsgTrace | None) -> None:
    assert options(f"accounts {{A {{{text}}}}}")["accounts"][0].msg_trace == wanted


def test_how_many_messages_are_traced_nowhere() -> None:
    found = load_text("accounts {A {msg_trace {sampling: 10}}}", "f.conf")
    assert found.warnings == ("f.conf:1:13: Trace destination sampling ignored since no destination was set",)
    assert found.options["accounts"][0].msg_trace is None


def test_accounts() -> None:
    found = options(
        """accounts {
        A {
            users: [{user: a, password: x}]
            exports: [
                {stream: "s.>"}
                {service: "q.*", accounts: [B ], account_token_position: 2, response_type: chunked, threshold: "2s"}
                {service: r, latency: {subject: l, sampling: 50%}, allow_trace: true}
                {service: t, latency: m}
                {service: u, latency: {subject: l, sampling: headers}}
            ]
            limits {max_conn: 1, max_subs: 2, max_payload: 3, max_leafs: 4}
            mappings {a: b}
            jetstream: false
        }
        B {
            default_permissions {publish: p}
            users: [{user: b}, {user: c, permissions {publish: q}}]
            imports: [
                {stream: {account: A, subject: "s.>"}, prefix: x}
                {stream: {account: A, subject: "s.*"}, to: "y.$1", allow_trace: true}
                {service: {account: A, subject: r}, to: z, share: true}
            ]
        }
        }"""
    )
    only_p = Permissions(publish_allow=("p",))
    assert found["users"] == (
        User(user="a", password="x", account="A"),
        User(user="b", account="B", permissions=only_p),
        User(user="c", account="B", permissions=Permissions(publish_allow=("q",))),
    )
    exports = (
        Export(kind="stream", subject="s.>"),
        Export(kind="service", subject="q.*", accounts=("B",), token_position=2, response="Chunked", threshold=2.0),
        Export(kind="service", subject="r", latency=Latency(subject="l", sampling=50), allow_trace=True),
        Export(kind="service", subject="t", latency=Latency(subject="m")),
        Export(kind="service", subject="u", latency=Latency(subject="l", sampling=0)),
    )
    imports = (
        Import(kind="stream", account="A", subject="s.>", prefix="x"),
        Import(kind="stream", account="A", subject="s.*", to="y.$1", allow_trace=True),
        Import(kind="service", account="A", subject="r", to="z", share=True),
    )
    mappings = {"a": (Destination(subject="b"),)}
    assert found["accounts"] == (
        AccountOptions(name="A", exports=exports, mappings=mappings, max_connections=1, max_subscriptions=2, max_payload=3),
        AccountOptions(name="B", imports=imports, default_permissions=only_p),
    )


def test_accounts_as_a_list_of_names() -> None:
    assert options("accounts: [A, B ]") == {"accounts": (AccountOptions(name="A"), AccountOptions(name="B"))}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    server_certificate().private_key_pem.write_to_path(tmp_path / "key.pem")
    server_certificate().cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def test_tls(files: Path) -> None:
    pair = f"cert_file: '{files}/cert.pem', key_file: '{files}/key.pem'"
    found = options(
        f"""tls {{ {pair}, ca_file: '{files}/ca.pem', verify_and_map: true, timeout: "3s", min_version: "1.3", first: auto,
        cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 ], allow_insecure_cipher_suites: true
        curve_preferences: [CurveP256 ], pinned_certs: ['{"AB" * 32}'], connection_rate_limit: 5 }}"""
    )
    assert found == {
        "tls": ServerTLS(
            cert_file=f"{files}/cert.pem",
            key_file=f"{files}/key.pem",
            ca_file=f"{files}/ca.pem",
            verify=True,
            verify_and_map=True,
            timeout=3.0,
            handshake_first=0.05,
            min_version="1.3",
            ciphers=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",),
            curves=("CurveP256",),
            pinned_certs=frozenset(["ab" * 32]),
            rate_limit=5,
        ),
        "auth_timeout": 4.0,  # the handshake is part of it
    }
    assert options(f"tls {{ {pair}, handshake_first: '300ms' }}")["tls"].handshake_first == 0.3
    assert options(f"tls {{ {pair}, handshake_first: on }}")["tls"].handshake_first is True
    assert options(f"tls {{ certs: [ {{ {pair} }} ] }}")["tls"].cert_file == f"{files}/cert.pem"


def test_websocket() -> None:
    found = options(
        """websocket { listen: "localhost:-1", no_tls: true, compression: true, same_origin: true, allowed_origins: ["http://a", "https://b"]
        handshake_timeout: "3s", jwt_cookie: j, user_cookie: u, pass_cookie: p, token_cookie: t, advertise: "x:1", ping_interval: "9s"
        authorization {user: a, password: b, timeout: 4}, headers {x: y}, no_auth_user: n }"""
    )
    assert found == {
        "websocket": WebSocketListener(
            host="localhost",
            port=-1,
            advertise="x:1",
            no_tls=True,
            same_origin=True,
            allowed_origins=("http://a", "https://b"),
            compression=True,
            handshake_timeout=3.0,
            ping_interval=9.0,
            jwt_cookie="j",
            user_cookie="u",
            pass_cookie="p",
            token_cookie="t",
            no_auth_user="n",
            user="a",
            password="b",
            auth_timeout=4.0,
            headers={"x": "y"},
        )
    }
    assert options("websocket { no_tls: true }") == {}  # no port, no listener


@pytest.mark.parametrize(
    "text",
    [
        "cluster {}", "gateway {}", "leafnodes {}", "leaf {}", "mqtt {}", "operator: x", "resolver: MEM", "resolver_preload {}",
        "trusted_keys: x",
        "proxies {}", "ocsp: true", "ocsp_cache {}", "jetstream {key: x}", "jetstream {ek: x}",
        "jetstream {prev_encryption_key: x}", "jetstream {cipher: aes}", "jetstream {tpm {}}", "jetstream {max_buffered_msgs: 5}",
        "jetstream {max_buffered_size: 5}", "jetstream {max_concurrent_io: 16}", "jetstream {sync: '0s'}",
        "prof_port: 1",
        "syslog: true", "remote_syslog: x", "trace_headers: true", "disable_sublist_cache: true", "no_system_account: true",
        "no_fast_producer_stall: true", "proxy_protocol: true", "write_timeout: retry", "feature_flags {x: true}",
        "default_js_domain {A: B}",
        "default_sentinel: x", "resolver_tls {}", "authorization {auth_callout {}}", "authorization {proxy_required: true}",
        "tls {ocsp_peer: true}", "tls {cert_store: x}",
        "tls {certs: [{cert_file: a, key_file: b}, {cert_file: a, key_file: b}]}",
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_and_never_ignored(text: str) -> None:
    assert " is not supported by midge" in refusal(text)
    assert refusal(text).startswith("f.conf:1:")


def test_every_key_that_nats_server_knows_has_an_answer() -> None:
    """Those of its processConfigFileLine, v2.15."""
    known = """listen client_advertise port server_name host net debug trace trace_verbose trace_headers logtime logtime_utc mappings maps
    disable_sublist_cache no_sublist_cache accounts default_sentinel authorization http https http_port monitor_port https_port
    http_base_path cluster gateway leaf leafnodes store_dir storedir jetstream logfile log_file logfile_size_limit log_size_limit
    logfile_max_num log_max_num syslog remote_syslog pidfile pid_file ports_file_dir prof_port prof_block_rate max_control_line max_payload
    max_pending proxy_protocol max_connections max_conn max_traced_msg_len max_subscriptions max_subs max_sub_tokens
    max_subscription_tokens ping_interval ping_max tls ocsp allow_non_tls write_deadline write_timeout lame_duck_duration
    lame_duck_grace_period operator operators roots root root_operators root_operator resolver account_resolver accounts_resolver
    resolver_tls resolver_preload resolver_pinned_accounts no_auth_user system_account system no_system_account no_system no_sys_acc
    no_header_support trusted trusted_keys connect_error_reports reconnect_error_reports websocket ws mqtt server_tags server_metadata
    feature_flags default_js_domain ocsp_cache no_fast_producer_stall max_closed_clients proxies""".split()
    for key in known:
        for value in ("3", "x", "{}", "true"):
            top = Top()
            top.read(load_tree(f"{key}: {value}"))
            assert not [error for error in top.report.errors if "unknown field" in error], key


def load_tree(text: str) -> Any:
    from midge.server.config.parser import parse

    return parse(text.encode(), "f.conf")


def test_what_belongs_to_the_process() -> None:
    found = load_text(
        "debug: true\ntrace: true\nlogtime: false\nlogtime_utc: true\nlog_file: l\nlogfile_size_limit: 1MB\nlogfile_max_num: 3\n"
        "pid_file: p\nports_file_dir: d"
    )
    assert found.settings == {
        "debug": True, "trace": True, "stamp": False, "utc": True, "log_file": "l", "log_size_limit": 1 << 20, "log_max_files": 3,
        "pid_file": "p", "ports_dir": "d",
    }  # fmt: skip
    assert set(found.settings) == set(NAMES) == {each.name for each in fields(Settings)} - {"options"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lame_duck_duration": 60.0, "lame_duck_grace_period": 60.0},
         "lame duck grace period (1m0s) should be strictly lower than lame duck duration (1m0s)"),
        ({"max_payload": 100, "max_pending": 99}, "max_payload (100) cannot be higher than max_pending (99)"),
        ({"system_account": "x"}, "error resolving system account: account missing"),
        ({"no_auth_user": "x"}, 'no_auth_user: "x" present, but users/nkeys are not defined'),
        ({"no_auth_user": "x", "users": (User(user="y"),)},
         'no_auth_user: "x" not present as user or nkey in authorization block or account configuration'),
        ({"websocket": WebSocketListener(port=1, no_tls=True, token="t"), "users": (User(user="y"),)},
         "websocket authentication token not compatible with presence of users/nkeys"),
        ({"websocket": WebSocketListener(port=1, no_tls=True, jwt_cookie="x")}, "trusted operators or trusted keys"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(given)
    assert message in str(caught.value)


# Server(config=...)


def test_a_server_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text("server_name: x\nmax_payload: 1kb\nauthorization {token: t}\n")
    server = Server(config=path, max_payload=2000)
    assert (server.options.name, server.options.max_payload, server.options.token) == ("x", 2000, "t")
    assert server.options.host == "127.0.0.1"  # in a process of its own it would be every address there is
    assert server.options.config_file == str(path) and server.options.config_digest.startswith("sha256:")
    assert Server(config=str(path)).options == Server(config=path).options


def test_a_server_from_a_dict() -> None:
    server = Server(
        config={"server_name": "x", "ping_interval": "5s", "max_payload": 1024, "authorization": {"user": "a", "password": "b"}}
    )
    assert (server.options.name, server.options.ping_interval, server.options.user) == ("x", 5.0, "a")
    assert server.options.config_file == ""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bogus": 1}, "config['bogus']: unknown field \"bogus\""),
        ({"authorization": {"users": [{"user": 3}]}}, "config['authorization']['users'][0]['user']: interface conversion"),
        ({"cluster": {}}, "config['cluster']: \"cluster\" is not supported by midge: a midge server stands alone"),
        ({"log_file": "x"}, "'log_file' is for `midge serve`"),
        ({"max_payload": 100, "max_pending": 10}, "max_payload (100) cannot be higher than max_pending (10)"),
        ({"authorization": {"token": ""}}, "config['authorization']['token']: empty, which would let everybody in"),
        ({"authorization": {"user": ""}}, "config['authorization']['user']: empty, which would let everybody in"),
    ],
)
def test_a_dict_that_makes_no_sense(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Server(config=config)
    assert message in str(caught.value)


def test_a_dict_of_other_things() -> None:
    for config, message in (
        ({"port": None}, "a NoneType means nothing"),
        ({1: 2}, "the key 1 is no str"),
        ({"x": {"y": {1}}}, "a set means nothing"),
    ):
        with pytest.raises(TypeError, match=message):
            Server(config=config)  # type: ignore[arg-type]
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(ValueError, match="deep"):
        Server(config=endless)


def test_options_and_a_configuration_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="not both"):
        Server(ServerOptions(), config={})


@pytest.mark.parametrize(
    "text",
    ["authorization {users: {user: a, password: s3cr3t}}", "authorization {users: [ [s3cr3t ] ]}",
     "accounts {A {limits: {a: {b: s3cr3t}}}}",
     "authorization {users: [{user: a, permissions: [s3cr3t ]}]}", "authorization {user: [s3cr3t ], password: {a: s3cr3t}}"],
)  # fmt: skip
def test_no_secret_is_in_an_error(text: str) -> None:
    assert "s3cr3t" not in refusal(text)


def test_secrets_are_not_shown() -> None:
    found: Configuration = load({"authorization": {"user": "a", "password": "s3cr3t"}})
    assert "s3cr3t" not in repr(found) and "s3cr3t" not in repr(options_of({"authorization": {"token": "s3cr3t"}}, {}))


def test_the_configurations_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert blocks
    for text in blocks:
        found = load_text(text, "nats.conf")
        assert found.options["token"] == r"s3cr3t \n" and found.options["server_tags"] == ("a", "b", "c") and not found.warnings
