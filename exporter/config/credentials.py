"""Where an API key's secrets are, how the key is used, and reading the secrets again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, PrivateAttr, SecretBytes, SecretStr, ValidationInfo

from exporter.config.mistakes import ProblemError
from exporter.config.models import Model, RateLimit
from exporter.config.secret_text import (
    SecretError,
    Secrets,
    base32_text,
    base64_bytes,
    header_text,
    secret_text,
)
from exporter.config.values import FilePath, Surroundings, Text, WholeNumber

Decoded = TypeVar("Decoded")


def _holds(decode: Callable[[str], object]) -> AfterValidator:
    """Make a check that a source holds a secret of the right form now."""

    def check(where: Path | str, info: ValidationInfo) -> Path | str:
        decode(secret_text(where, Surroundings.of(info.context).environ))
        return where

    return AfterValidator(check)


class CredentialSource(Model):
    """Where the secrets of one API key are, and how the key is used.

    One of api_key_file and api_key_env is set, one of api_secret_file and api_secret_env, and at
    most one of otp_file and totp_secret_file. A file is a path, `_env` an environment variable.

    nonce: the unit of time that nonces count.
    rate_limit: a limit of this key's own, besides the one by IP address.
    max_in_flight: requests that may be under way at once.
    """

    api_key_file: Annotated[FilePath, _holds(header_text)] | None = None
    api_key_env: Annotated[Text, _holds(header_text)] | None = None
    api_secret_file: Annotated[FilePath, _holds(base64_bytes)] | None = None
    api_secret_env: Annotated[Text, _holds(base64_bytes)] | None = None
    otp_file: Annotated[FilePath, _holds(header_text)] | None = None
    totp_secret_file: Annotated[FilePath, _holds(base32_text)] | None = None
    nonce: Literal["nanoseconds", "microseconds", "milliseconds"] = "nanoseconds"
    rate_limit: RateLimit | None = None
    max_in_flight: WholeNumber = 1

    _environ: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: object, /) -> None:
        """Remember the environment for later reads; pydantic calls this."""
        self._environ = Surroundings.of(context).environ

    def read(self) -> Secrets:
        """Read the secrets as they are now; raises SecretError."""
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
            api_key=SecretStr(api_key),
            api_secret=SecretBytes(api_secret),
            otp=SecretStr(otp) if otp else None,
            totp_seed=SecretStr(seed) if seed else None,
        )

    def _read(self, decode: Callable[[str], Decoded], **sources: Path | str | None) -> Decoded:
        for field, where in sources.items():
            if where is not None:
                try:
                    return decode(secret_text(where, self._environ))
                except ProblemError as problem:
                    raise SecretError(f"{field} ({where}): {problem}") from None
        raise SecretError(f"{' or '.join(sources)} must be given")
