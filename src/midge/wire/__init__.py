"""The NATS wire protocol: bytes in, operations out, and back. No I/O, no clock."""
