"""First contact (`--probe`): a few careful questions to the API, and what the answers mean."""
