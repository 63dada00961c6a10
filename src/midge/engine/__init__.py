"""JetStream itself: streams and their API. Told the time (wall nanoseconds) and given messages; no asyncio, no sockets, no clock.

``Engine`` is the whole of it, ``Outside`` what it asks of the server around it.
"""
