"""Object stores over streams (ADR-20)."""
