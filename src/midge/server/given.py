"""Given: what a Server was told to run with: options, or keywords over a configuration that may be read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midge.server.options import ServerKeywords, ServerOptions

if TYPE_CHECKING:
    from midge.server.config.load import Config

__all__ = ["Given"]


class Given:
    """What was given.

    Args:
        options: a ServerOptions, None where the others make it.
        config: the path of a configuration file, or a dict in its vocabulary; None where there is none.
        keywords: fields of ServerOptions, which override it; None stands for the default.

    Raises:
        TypeError: these are no options, or options in two ways.
    """

    __slots__ = ("_config", "_keywords", "options")

    def __init__(self, options: ServerOptions | None, config: Config | None, keywords: ServerKeywords) -> None:
        if unknown := sorted(keywords.keys() - ServerKeywords.__annotations__.keys()):
            raise TypeError(f"Server() has no option {unknown[0]!r}")
        if options is not None and not isinstance(options, ServerOptions):
            raise TypeError(f"options must be a ServerOptions, not {type(options).__name__}; to give a port, write Server(port=4222)")
        self._keywords: dict[str, Any] = {name: value for name, value in keywords.items() if value is not None}
        if options is not None and (self._keywords or config is not None):
            raise TypeError("give a ServerOptions, or keywords and a config, not both")
        self._config = config
        self.options = self._read() if options is None else options

    def again(self) -> ServerOptions:
        """Return what the configuration says by now.

        Raises:
            ValueError: there is none, or it makes no sense.
        """
        if self._config is None:
            raise ValueError("can only reload config when a file is provided using -c or --config")
        return self._read()

    def _read(self) -> ServerOptions:
        if self._config is None:
            return ServerOptions(**self._keywords)
        from midge.server.config.options import options_of  # with a language, which a server without a configuration does without

        return options_of(self._config, self._keywords)
