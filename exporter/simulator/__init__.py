"""The embedded custody API simulator: what `--demo` polls and the tests talk to.

`simulator` is the API over a `portfolio` and `approvals`, in one of its `revisions`. A request is checked by `guard`
and `query`; `moods` make it fail, `situations` are what `--probe` may encounter; `server` runs it.
"""
