"""Tests of the custody API simulator: what it checks, what it answers, how it misbehaves."""
