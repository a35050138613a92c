"""Who may ask, and over what: the web configuration in the format of Prometheus's exporter-toolkit."""
