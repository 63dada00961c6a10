"""``Server(config=...)``: the options that a configuration and keywords make together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midge.server.config.check import check
from midge.server.config.load import Config, load
from midge.server.config.settings import NAMES, Settings
from midge.server.options import ServerOptions

__all__ = ["options_of"]


def options_of(config: Config, keywords: Mapping[str, Any]) -> ServerOptions:
    """Return the options; a keyword has precedence over what the configuration says.

    Raises:
        ConfigError: the configuration cannot be read, or there is something wrong in it.
        ValueError: an option makes no sense, or belongs to a process of its own.
    """
    found = load(config)
    for name, value in found.settings.items():
        if value != Settings.__dataclass_fields__[name].default:
            raise ValueError(
                f"{NAMES[name]!r} is for `midge serve`, whose process is the server's own: leave it out, and set up "
                "logging.getLogger('midge') and files yourself"
            )
    options = {**found.options, **keywords}
    if keywords.get("jetstream") is True and found.options.get("jetstream"):
        options["jetstream"] = found.options["jetstream"]  # on it is; how, the configuration says
    check(options)
    return ServerOptions(**options)
