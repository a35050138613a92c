"""Tests of `exporter/coordination`."""
