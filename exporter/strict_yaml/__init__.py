"""A strict reader of YAML files: into a frozen pydantic model, or every mistake at once with its place."""
