"""Tests that start real servers and processes."""
