"""The client of Kraken's custody API; knows nothing of Prometheus."""
