"""Everything about Prometheus: what metrics there are, and how they are rendered, kept and served."""
