"""Key-value buckets over streams (ADR-8, 48, 54, 57)."""
