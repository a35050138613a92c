"""Hostile inputs for every exposed surface: generated from a seed, fed to the real code, and judged."""
