"""What to poll: what the API lists, joined with the configuration, as values and functions."""
