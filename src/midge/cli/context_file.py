"""Contexts: the files in which the ``nats`` command keeps where servers are and who one is there (ADR-21), read and written as it does.

Each is a JSON file below ``$XDG_CONFIG_HOME/nats/context``, which only its owner may read; ``context.txt`` beside that directory names the
one that is selected. A file is replaced as a whole, and what this version of midge does not know of it stays.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from midge.errors import MidgeError

__all__ = ["Contexts", "target_fields"]

# Of a context, what becomes which field of a Target.
FIELDS = {
    "url": "server", "user": "user", "password": "password", "token": "token", "creds": "creds", "nkey": "nkey", "cert": "tlscert",
    "key": "tlskey", "ca": "tlsca", "tls_first": "tlsfirst", "jetstream_domain": "domain", "jetstream_api_prefix": "prefix",
    "inbox_prefix": "inbox_prefix", "user_jwt": "jwt", "user_seed": "seed",
}  # fmt: skip
FILES = {"creds", "nkey", "cert", "key", "ca"}
_UNSUPPORTED = ("nsc", "socks_proxy", "windows_cert_store", "windows_cert_match", "windows_ca_certs_match")


class Contexts:
    """All contexts of the user who runs this."""

    def __init__(self) -> None:
        root = os.environ.get("XDG_CONFIG_HOME")
        self._root = (Path(root) if root else Path.home() / ".config") / "nats"

    def names(self) -> list[str]:
        """Return the names of those that are there."""
        try:
            return sorted(path.stem for path in (self._root / "context").iterdir() if path.suffix == ".json" and path.stat().st_size)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def path(self, name: str) -> Path:
        """Return where one is.

        Raises:
            MidgeError: the name cannot be one.
        """
        if not name or ".." in name or "/" in name or "\\" in name or "\0" in name:
            raise MidgeError(f"{name!r} cannot be the name of a context")
        return self._root / "context" / f"{name}.json"

    def load(self, name: str) -> dict[str, Any]:
        """Return what one says.

        Raises:
            MidgeError: there is none of this name, or it is no JSON object.
        """
        path = self.path(name)
        try:
            found = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise MidgeError(f"there is no context {name!r}") from None
        except ValueError as error:
            raise MidgeError(f"context {name!r} is damaged: {error}") from error
        if not isinstance(found, dict):
            raise MidgeError(f"context {name!r} is damaged: it is no JSON object")
        return found

    def save(self, name: str, context: dict[str, Any]) -> None:
        """Write one."""
        _write(self.path(name), json.dumps(context, indent=2))

    def remove(self, name: str) -> None:
        """Remove one; where it is selected, none is any more."""
        path = self.path(name)
        if self.selected == name:
            (self._root / "context.txt").unlink()
        path.unlink()

    @property
    def selected(self) -> str | None:
        """The name of the one that is selected."""
        return self._named("context.txt")

    @property
    def previous(self) -> str | None:
        """The name of the one that was selected before."""
        return self._named("previous-context.txt")

    def select(self, name: str | None) -> None:
        """Select one; None for none.

        Raises:
            MidgeError: there is none of this name.
        """
        before = self.selected
        if name is not None:
            self.load(name)
        _write(self._root / "context.txt", name or "")
        if before and before != name:
            _write(self._root / "previous-context.txt", before)

    def _named(self, file: str) -> str | None:
        try:
            return (self._root / file).read_text("utf-8").strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None


def target_fields(name: str, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a context says as fields of a Target.

    Raises:
        MidgeError: it asks for something that midge has not, or a field is no text.
    """
    for field in _UNSUPPORTED:
        if context.get(field):
            raise MidgeError(f"context {name!r} has {field}, which midge does not know")
    found = {}
    for field, attribute in FIELDS.items():
        value: Any = context.get(field)
        if value and not isinstance(value, bool if field == "tls_first" else str):
            raise MidgeError(f"context {name!r} is damaged: {field} is {value!r:.80}")
        if value:
            found[attribute] = Path(os.path.expandvars(value)).expanduser() if field in FILES else value
    return found


def _write(path: Path, text: str) -> None:
    """Replace a file, which may be a link to one; nobody else can read it, nor what its directories hold."""
    path = Path(os.path.realpath(path))
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
