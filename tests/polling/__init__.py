"""Tests of `exporter/polling/`: policy as arithmetic, and the loop in virtual time."""
