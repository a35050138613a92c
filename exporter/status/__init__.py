"""How everything is at one moment, in values: what the status page shows and the JSON says, made once for both."""
