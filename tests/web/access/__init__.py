"""Tests of access control and TLS."""
