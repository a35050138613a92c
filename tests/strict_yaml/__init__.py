"""Tests of the strict reader of YAML."""
