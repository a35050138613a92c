"""A plain exporter in Go for the same balances, and what it costs beside this one."""
