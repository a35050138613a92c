"""All surfaces that outsiders can reach."""

from typing import Final

from tests.fuzzing.api_answers import API_ANSWERS
from tests.fuzzing.loopback import LOOPBACK, TLS
from tests.fuzzing.surface import Surface
from tests.fuzzing.web import ACCEPT, AUTHORIZATION, REQUEST_HEADERS, REQUEST_LINE
from tests.fuzzing.web_configuration import WEB_CONFIGURATION

SURFACES: Final[tuple[Surface, ...]] = (
    REQUEST_LINE,
    REQUEST_HEADERS,
    LOOPBACK,
    TLS,
    ACCEPT,
    AUTHORIZATION,
    WEB_CONFIGURATION,
    API_ANSWERS,
)
