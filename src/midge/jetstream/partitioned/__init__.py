"""Partitioned consumer groups: a stream's messages shared out to members by key, each key in order; as the orbit libraries have them."""
