"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
# For a change of what reads from outside: make test ARGS=--hypothesis-profile=thorough
settings.register_profile("thorough", settings.get_profile("any_machine"), max_examples=1000)
settings.load_profile("any_machine")
