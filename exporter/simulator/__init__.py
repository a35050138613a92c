"""The embedded custody API simulator: what `--demo` polls and the tests talk to.

`simulator` is the API over a `portfolio`, checked by `guard`, made to fail by `moods`, run by `server`.
"""
