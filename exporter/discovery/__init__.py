"""What there is to poll: what the API lists, joined with what the configuration says. Values and functions of them."""
