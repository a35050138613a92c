"""What is known of every target: one immutable value for each, replaced whole, and the store that has them all."""
