"""The objects of the JetStream API, as the client and the engine both know them, and their JSON."""
