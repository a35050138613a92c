"""The rate limit of the web configuration: a token bucket, as arithmetic over a given time."""

from dataclasses import dataclass

from exporter.web.access.models import RateLimit


@dataclass(slots=True)
class TokenBucket:
    """Holds at most `limit.burst` tokens and gets one more each `limit.interval`; each request takes one.

    tokens: there were at `at`, in monotonic seconds.
    """

    limit: RateLimit
    tokens: float
    at: float

    @classmethod
    def full(cls, limit: RateLimit, now: float) -> "TokenBucket":
        """Return a bucket that nobody has taken from."""
        return cls(limit, limit.burst, now)

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        if not self.limit.interval:
            return True
        earned = (now - self.at) / self.limit.interval
        self.tokens, self.at = min(self.limit.burst, self.tokens + earned), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
