"""The NATS server: pure sessions and routing (session, sublist, hub), and the asyncio driver around them (server)."""
