"""A value that is never shown."""

from typing import Generic, NoReturn, Self, TypeVar

Value_co = TypeVar("Value_co", covariant=True)


class Secret(Generic[Value_co]):
    """A secret, or what may hold one: neither shown nor serialised. Two are equal if their values are."""

    __slots__ = ("_value",)

    def __init__(self, value: Value_co) -> None:
        self._value = value

    def get_secret_value(self) -> Value_co:
        """Return the value itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "**********"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not serialised")
