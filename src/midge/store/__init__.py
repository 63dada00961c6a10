"""Durable sequences of messages: what a stream is kept in. Told the time, and pure but for the files; ``store.base`` has the verbs."""
