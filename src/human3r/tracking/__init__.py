"""Keeps person identities across frames."""
