"""Prometheus exporter for the balances of Kraken's Insto Custody."""

__version__ = "0.2.0"
