"""Tests of exporter/status."""
