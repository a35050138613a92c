"""The embedded custody API simulator: what `--demo` polls and the tests talk to."""
