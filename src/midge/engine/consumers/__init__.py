"""Consumers: who gets which message of a stream, what they have acknowledged, and what is delivered again."""
