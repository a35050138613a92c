"""What is polled when: schedule, budget and pauses, with time and chance as arguments."""
