"""The image's HEALTHCHECK, since the image has no curl: asks the exporter whether it is healthy.

Exit status 0: it is healthy, or it answers 401, 421 or 429; 1: it is unhealthy or does not answer.
"""

import http.client
import os
import re
import ssl
import sys
from collections.abc import Mapping
from typing import Final

DEFAULT_URL: Final = "http://127.0.0.1:10063/-/healthy"
TIMEOUT_SECONDS: Final = 4
# No user and password: `docker inspect` shows the URL.
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/@\s]+)(?P<path>/\S*)")


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Request HEALTHCHECK_URL, print the answer and return the exit status."""
    url = _URL.fullmatch(environ.get("HEALTHCHECK_URL", DEFAULT_URL))
    if url is None:
        sys.stderr.write(f"HEALTHCHECK_URL is not a URL without a user, such as {DEFAULT_URL}\n")
        return 1
    try:
        status, text = _ask(**url.groupdict())
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"{url[0]}: {error}\n")
        return 1
    sys.stdout.write(f"{url[0]}: {status} {text}\n")
    # Such an answer shows that it is running, but not that it is healthy; a check that always fails would say less.
    return 0 if status in (200, 401, 421, 429) else 1


def _ask(scheme: str, authority: str, path: str) -> tuple[int, str]:
    # Not urllib.request, which would use a proxy if the environment names one.
    connection = http.client.HTTPConnection(authority, timeout=TIMEOUT_SECONDS)
    if scheme == "https":
        # The certificate names the host as others see it; nothing secret is sent, and this is the container itself.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            authority, timeout=TIMEOUT_SECONDS, context=context
        )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(1024).decode(errors="replace").strip()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
