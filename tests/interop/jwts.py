"""Makes the JWTs of NATS (version 2): of an operator, its accounts, and their users; and the files that nats-server and clients read.

The claims are those of nats-io/jwt: an nkey signs (``ed25519-nkey``), the issuer is its public key, the id a hash of the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

from midge.nkeys import KeyPair, Prefix

__all__ = ["Account", "Operator", "creds_file"]

UNLIMITED = {"subs": -1, "data": -1, "payload": -1}


class Account:
    """An account of an operator, whose users it can make."""

    def __init__(self, operator: KeyPair) -> None:
        self.key = KeyPair.create(Prefix.ACCOUNT)
        self.revoked: dict[str, int] = {}
        self._operator = operator

    def jwt(self) -> str:
        limits = UNLIMITED | {"imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
        nats = {"type": "account", "version": 2, "limits": limits, "revocations": self.revoked}
        return encode(self._operator, self.key.public_key, nats)

    def user(self, key: KeyPair, expires: float | None = None, **claims: Any) -> str:
        """The JWT of a user; more claims such as ``bearer_token`` or ``pub``."""
        nats = {"type": "user", "version": 2, **UNLIMITED, **claims}
        return encode(self.key, key.public_key, nats, expires)

    def creds(self, expires: float | None = None, **claims: Any) -> str:
        """The content of a creds file of a new user."""
        key = KeyPair.create()
        return creds_file(self.user(key, expires, **claims), key.seed())


class Operator:
    """An operator with one account, and the server configuration that trusts it."""

    def __init__(self) -> None:
        self.key = KeyPair.create(Prefix.OPERATOR)
        self.account = Account(self.key)
        self._jwt = encode(self.key, self.key.public_key, {"type": "operator", "version": 2})  # a server refuses to reload with another

    def config(self) -> str:
        preload = f"{self.account.key.public_key}: {self.account.jwt()}"
        return f"operator: {self._jwt}\nresolver: MEMORY\nresolver_preload: {{ {preload} }}\n"


def creds_file(jwt: str, seed: str) -> str:
    """The content of a creds file, as ``nsc`` writes it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n"
        "NKEYs are sensitive and should be treated as secrets.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n"
        "*************************************************************\n"
    )


def encode(issuer: KeyPair, subject: str, nats: dict[str, Any], expires: float | None = None) -> str:
    """Sign claims."""
    claims: dict[str, Any] = {"iat": int(time.time()), "iss": issuer.public_key, "name": nats["type"], "sub": subject, "nats": nats}
    if expires is not None:
        claims["exp"] = int(expires)
    claims["jti"] = base64.b32encode(hashlib.new("sha512_256", json.dumps(claims).encode()).digest()).decode().rstrip("=")
    parts = [base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)]
    return ".".join([*parts, base64url(issuer.sign(".".join(parts).encode()))])


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
