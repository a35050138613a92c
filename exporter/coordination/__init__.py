"""Several processes, one of which polls: a lease, and the engines that keep its record."""
