"""All that knows the wire of Kraken's custody API, and nothing of Prometheus."""
