"""JetStream itself: streams and consumers, told the time, emitting messages. No asyncio, no sockets, no clock."""
