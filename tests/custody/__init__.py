"""Tests of what knows the wire: signing, asking, reading answers, and naming failures."""
