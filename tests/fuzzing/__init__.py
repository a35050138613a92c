"""Hostile inputs for everything that outsiders reach: made by a seeded chance, fed to the real code, and judged."""
