"""API keys: the sources of their secrets, how each key is used and limited, and reloading of secrets."""

import base64
import contextlib
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from exporter.secret import Secret
from exporter.strict_yaml.files import is_open_to_all
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import (
    Context,
    Duration,
    FilePath,
    Variable,
    WholeNumber,
    Within,
    number,
)
from exporter.strict_yaml.secret_text import secret_text
from exporter.strict_yaml.validation import Model

Decoded = TypeVar("Decoded")

ALL_CREDENTIALS: Final = "all"
"""Stands for all credentials in metrics and logs; no credential may have this name."""


HEADER_TEXT: Final = re.compile(r"[!-~]+")
SECRET_BYTES: Final = 64
"""Length of Kraken's secrets, decoded."""

Share = Annotated[
    Decimal, number("a number above 0 and up to 1, such as 0.5", lambda share: 0 < share <= 1)
]


class SecretError(Exception):
    """A secret cannot be read; the message says which one, from which file or variable, and what to do."""


class Secrets(Struct, frozen=True):
    """The secrets that sign a request; its repr hides them.

    api_key: as sent in the header.
    api_secret: the key of the signature, decoded.
    otp: the static one-time password, if there is one.
    totp_seed: the base32 seed of time-based one-time passwords, if there is one.
    """

    api_key: Secret[str]
    api_secret: Secret[bytes]
    otp: Secret[str] | None = None
    totp_seed: Secret[str] | None = None


def unusual(secrets: Secrets) -> str | None:
    """Return why a secret cannot be one of Kraken's, or None. The text reveals nothing of it, not even its length."""
    decoded = secrets.api_secret.get_secret_value()
    is_key = base64.b64encode(decoded).decode() == secrets.api_key.get_secret_value()
    if len(decoded) == SECRET_BYTES:
        return "is also where the API key belongs: put the key there" if is_key else None
    if is_key:
        return "is the API key: use the secret, which Kraken shows beside the key"
    with contextlib.suppress(ValueError):
        if len(base64.b64decode(decoded, validate=True)) == SECRET_BYTES:
            return "is encoded in base64 twice: decode it once"
    return "is not as long as Kraken's secrets, which are 88 characters: copy the whole secret, and not the key"


def _leave_a_request(share: Decimal, context: Context) -> Decimal:
    requests = context.read.get("requests")
    if requests is not None and _budget(requests, share) < 1:
        raise ProblemError("requests times share must be at least 1", of_parent=True)
    return share


class RateLimit(Model, frozen=True):
    """A rate limit of the API, and the share of it that this process may use.

    requests: maximum that the API allows in one window.
    window: seconds.
    share: above 0 and up to 1.
    """

    requests: WholeNumber = 200
    window: Duration = 30.0
    share: Annotated[Share, Within(_leave_a_request)] = Decimal("0.5")

    @property
    def budget(self) -> int:
        """Maximum requests of this process in one window, rounded down, at least 1."""
        return _budget(self.requests, self.share)


def _budget(requests: int, share: Decimal) -> int:
    # Decimal's own product would be rounded to 28 digits.
    numerator, denominator = share.as_integer_ratio()
    return requests * numerator // denominator


# The decoders raise outside `except`: otherwise the exception's context would carry the secret.


def header_text(written: str) -> str:
    """Read text that is valid in a header; raises ProblemError."""
    if not HEADER_TEXT.fullmatch(written):
        raise ProblemError(
            "has a space, line break, byte order mark or other character that a header cannot contain: "
            "the file or variable must hold the value alone, as one line of ASCII text"
        )
    return written


def base64_bytes(written: str) -> bytes:
    """Decode base64; raises ProblemError."""
    with contextlib.suppress(ValueError):
        if decoded := base64.b64decode(written, validate=True):
            return decoded
    raise ProblemError(
        "is not base64: copy the whole secret as Kraken shows it, on one line and without quotes"
    )


def base32_text(written: str) -> str:
    """Read base32, in any case, with or without spaces and padding; raises ProblemError."""
    seed = written.replace(" ", "").rstrip("=").upper()
    with contextlib.suppress(ValueError):
        if base64.b32decode(seed + "=" * (-len(seed) % 8)):
            return seed
    raise ProblemError("is not base32: letters A-Z and digits 2-7")


def _holds(decode: Callable[[str], object]) -> Within:
    """Return a check: the file or variable currently holds a secret that `decode` accepts."""

    def check(where: Path | str, context: Context) -> Path | str:
        decode(secret_text(where, context.environ))
        return where

    return Within(check)


class CredentialSettings(Model, frozen=True):
    """The sources of an API key's secrets, and how the key is used.

    One of api_key_file and api_key_env is set, one of api_secret_file and api_secret_env, and at most one of otp_file
    and totp_secret_file. `_file` is a path, `_env` the name of an environment variable.

    nonce: unit of time of the nonces.
    rate_limit: this key's own limit, in addition to the one by IP address.
    max_in_flight: maximum concurrent requests.
    """

    api_key_file: Annotated[FilePath, _holds(header_text)] | None = None
    api_key_env: Annotated[Variable, _holds(header_text)] | None = None
    api_secret_file: Annotated[FilePath, _holds(base64_bytes)] | None = None
    api_secret_env: Annotated[Variable, _holds(base64_bytes)] | None = None
    otp_file: Annotated[FilePath, _holds(header_text)] | None = None
    totp_secret_file: Annotated[FilePath, _holds(base32_text)] | None = None
    nonce: Literal["nanoseconds", "microseconds", "milliseconds"] = "nanoseconds"
    rate_limit: RateLimit | None = None
    max_in_flight: WholeNumber = 1

    _environment: Secret[Mapping[str, str]] = Secret({})

    def completed(self, context: Context) -> Self:
        """Return it with the environment, for later reads."""
        return replace(self, _environment=Secret(context.environ))

    def read(self) -> Secrets:
        """Read the current secrets; raises SecretError."""
        api_key = self._read(
            header_text, api_key_file=self.api_key_file, api_key_env=self.api_key_env
        )
        api_secret = self._read(
            base64_bytes, api_secret_file=self.api_secret_file, api_secret_env=self.api_secret_env
        )
        otp = self.otp_file and self._read(header_text, otp_file=self.otp_file)
        seed = self.totp_secret_file and self._read(
            base32_text, totp_secret_file=self.totp_secret_file
        )
        return Secrets(
            api_key=Secret(api_key),
            api_secret=Secret(api_secret),
            otp=Secret(otp) if otp else None,
            totp_seed=Secret(seed) if seed else None,
        )

    def files_open_to_all(self) -> dict[str, Path]:
        """Return the secret files that every user of this machine can read, by setting."""
        files = {
            "api_key_file": self.api_key_file,
            "api_secret_file": self.api_secret_file,
            "otp_file": self.otp_file,
            "totp_secret_file": self.totp_secret_file,
        }
        return {field: file for field, file in files.items() if file and is_open_to_all(file)}

    def _read(self, decode: Callable[[str], Decoded], **sources: Path | str | None) -> Decoded:
        for name, where in sources.items():
            if where is not None:
                try:
                    return decode(secret_text(where, self._environment.get_secret_value()))
                except ProblemError as problem:
                    raise SecretError(f"{name} ({where}): {problem}") from None
        raise SecretError(f"{' or '.join(sources)} must be given")
