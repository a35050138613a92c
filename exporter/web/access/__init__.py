"""Access control and TLS: the web configuration in the format of Prometheus's exporter-toolkit."""
