"""All that knows Prometheus: which metrics there are, how they are rendered, kept and served."""
