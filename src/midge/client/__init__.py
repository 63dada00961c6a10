"""The NATS client: a pure session, and the asyncio driver and faces around it."""
