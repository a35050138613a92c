"""The state of every target: one immutable value for each, replaced as a whole, and the store of them all."""
