"""A strict reader of YAML files: into a frozen model, or every mistake at once with its place."""
