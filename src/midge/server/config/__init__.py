"""Configuration files: the nats.conf language, and what it says of a server.

The text is cut into items (``scanner``, ``scalars``, ``lexer``), which become a tree of values with their places (``parser``,
``tree``); of that the fields of ServerOptions are made (``top``, and one module for each kind of block). Messages are nats-server's,
word for word, as far as nats-server's do not depend on the order in which it happens to look at keys.
"""
