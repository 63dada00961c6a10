"""JetStream in the client: publish to streams, manage them, consume from them. ``Client.jetstream`` is the way in."""
