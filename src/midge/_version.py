"""The version, in a module of its own: importlib.metadata takes a quarter of the time that importing midge takes."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
