"""Tests of the custody API simulator: its checks, its answers, and how it misbehaves."""
