"""Streams as files: taken out of a server and put into one, in the formats that nats-server writes and reads."""
