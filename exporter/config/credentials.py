"""Where an API key's secrets are, how the key is used, and reading the secrets again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, Self, TypeVar

from pydantic import AfterValidator, PrivateAttr, SecretBytes, SecretStr, ValidationInfo

from exporter.config.files import is_open_to_all
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

ALL_CREDENTIALS: Final = "all"
"""What metrics and the log call all credentials together, so that none of them may have that name."""


def _holds(decode: Callable[[str], object]) -> AfterValidator:
    """Make a check that a source holds a secret of the right form now."""

    def check(where: Path | str, info: ValidationInfo) -> Path | str:
        decode(secret_text(where, Surroundings.of(info.context).environ))
        return where

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class _Environment:
    """Environment variables, which may be secrets: they are neither shown nor written down with what names them."""

    variables: Mapping[str, str] = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("environment variables may be secrets, which are not to be written down")

    def __deepcopy__(self, memo: object) -> Self:
        return self


class CredentialSettings(Model):
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

    _environment: _Environment = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Remember the environment for later reads; pydantic calls this."""
        self._environment = _Environment(Surroundings.of(context).environ)

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

    def files_open_to_all(self) -> dict[str, Path]:
        """Return the secret files that every user of this machine can read, each by the field that names it."""
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
                    return decode(secret_text(where, self._environment.variables))
                except ProblemError as problem:
                    raise SecretError(f"{name} ({where}): {problem}") from None
        raise SecretError(f"{' or '.join(sources)} must be given")
