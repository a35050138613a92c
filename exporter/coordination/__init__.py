"""Leader election among several processes: a lease, and the engines that store its record."""
