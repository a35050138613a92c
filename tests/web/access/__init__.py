"""Tests of who may ask, and over what."""
