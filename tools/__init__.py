"""Generators and release helpers: what the Makefile runs."""
