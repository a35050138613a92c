"""The HTTP side: routes, pages and access."""
