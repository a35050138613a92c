"""Warns at the start if anyone who can reach the address can read balances, or passwords in transit."""

import ipaddress

from exporter.logs import get_logger
from exporter.web.access.file import WebConfigFile
from exporter.web.address import ListenAddress

log = get_logger()


def is_loopback(address: ListenAddress) -> bool:
    """Whether only this machine can reach the address of a socket."""
    return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback


def warn_of_exposure(file: WebConfigFile, address: ListenAddress) -> None:
    """Log what others can read: balances, or passwords in transit."""
    configuration = file.configuration
    if not is_loopback(address) and not configuration.tls_server_config:
        if configuration.basic_auth_users:
            problem = (
                "passwords are sent in plain text: add tls_server_config to the web configuration"
            )
            log.warning("web_password_in_plain_text", address=str(address), problem=problem)
        else:
            problem = "anyone who can reach it can read all balances: use --web.config.file, or listen on 127.0.0.1"
            log.warning("web_open_to_all", address=str(address), problem=problem)
