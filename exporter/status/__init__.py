"""The status of everything at one moment, as values for both the status page and the JSON."""
