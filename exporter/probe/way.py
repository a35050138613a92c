"""Judges the connection to the API before any key is used: name, certificate, clock."""

import time

from exporter.durations import duration
from exporter.probe.findings import Finding, diagnosed, failed, notice, ok, skipped
from exporter.probe.known import (
    CLOCK_LIMIT_SECONDS,
    CLOCK_TOLERANCE_SECONDS,
    Known,
    Reply,
)
from exporter.probe.network import EXPIRED, OTHER_NAME, UNKNOWN_AUTHORITY, Network
from exporter.resources.target import listed


def names(network: Network) -> Finding:
    """Judge the resolution of the API's name, or the proxy's."""
    if network.name_problem:
        what, where = ("proxy", "HTTPS_PROXY") if network.proxy else ("API", "`api.base_url`")
        return failed(
            network.name_problem,
            meaning=f"The name of the {what} cannot be resolved.",
            advice=f"Check {where} and the name server (/etc/resolv.conf). If only a proxy can reach the Internet, set "
            "HTTPS_PROXY.",
            cause="name_unknown",
        )
    addresses = listed(network.addresses)
    if network.proxy:
        looked_up = f"the proxy resolves {network.host}"
        return ok(f"proxy {network.proxy}: {addresses}", looked_up)
    if network.addresses == (network.host,):
        return ok(f"{network.host} is an address")
    evidence = f"{network.host}: {addresses}"
    if network.is_encrypted and (private := network.private_addresses):
        return notice(
            evidence,
            meaning=f"{listed(private)} belongs to a private network: something in between answers for the API.",
            advice="Ask whoever runs the network. Your own gateway is not a problem.",
            cause="private_address",
        )
    return ok(evidence)


def tls(network: Network, now: float) -> Finding:
    """Judge the connection and the certificate of the API. now: Unix seconds."""
    if network.name_problem:
        return skipped()
    if network.connect_problem:
        through = f"the proxy {network.proxy} to {network.host}" if network.proxy else network.host
        return failed(
            network.connect_problem,
            meaning=f"Cannot connect {'through' if network.proxy else 'to'} {through}.",
            advice="Check the firewall, HTTPS_PROXY and NO_PROXY. A proxy that answers 407 needs "
            "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT."
            if network.is_encrypted
            else "Check `api.base_url`, and that the server is running there.",
            cause="not_connected",
        )
    if not network.is_encrypted:
        return ok("not used: the API is on this machine")
    return _untrusted(network) if network.tls_problem else _trusted(network, now)


def _trusted(network: Network, now: float) -> Finding:
    certificate = network.certificate
    if certificate is None:
        return ok("the certificate is trusted")
    days = (certificate.ends - now) / 86_400
    until = time.strftime("%Y-%m-%d", time.gmtime(certificate.ends))
    evidence = (f"issued by {certificate.issuer}", f"valid until {until} ({days:.0f} days)")
    if network.is_public:
        return ok(*evidence)
    return notice(
        *evidence,
        meaning="This certificate is trusted only because of `api.ca_file`, SSL_CERT_FILE or SSL_CERT_DIR: a proxy "
        "decrypts the traffic, and sees the key and all balances. The secret is never sent.",
        advice="If that is not intended, have the API's host exempted from inspection.",
        cause="tls_private_authority",
    )


def _untrusted(network: Network) -> Finding:
    certificate = network.certificate
    issuer = (f"issued by {certificate.issuer}",) if certificate else ()
    if network.tls_code in UNKNOWN_AUTHORITY:
        return failed(
            network.tls_problem,
            *issuer,
            meaning="The issuer of the certificate is not trusted: most likely a proxy that intercepts TLS answers in "
            "the API's place. Nothing was sent.",
            advice="If the issuer is your own organization, have the API's host exempted from inspection, or set "
            "`api.ca_file` to a file with the issuer's root certificate (PEM). If you do not know the issuer, stop: "
            "somebody may be reading the traffic.",
            cause="tls_intercepted",
        )
    if network.tls_code == EXPIRED:
        return failed(
            network.tls_problem,
            *issuer,
            meaning="The certificate has expired, or this machine's clock is wrong. Nothing was sent.",
            advice="Check the clock (timedatectl). If it is right, something other than the API answers.",
            cause="tls_expired",
        )
    if network.tls_code in OTHER_NAME:
        theirs = (f"valid for {listed(certificate.names)}",) if certificate else ()
        return failed(
            network.tls_problem,
            *issuer,
            *theirs,
            meaning="The certificate is for another name: something other than the API answers. Nothing was sent.",
            advice="Check `api.base_url`, /etc/hosts and the name server.",
            cause="tls_other_name",
        )
    return failed(
        network.tls_problem,
        *issuer,
        meaning="The connection cannot be encrypted. Nothing was sent.",
        advice="Check the port in `api.base_url`, and HTTPS_PROXY.",
        cause="tls_failed",
    )


def clock(reply: Reply, known: Known) -> Finding:
    """Judge the unsigned request: whether the API answers, and whether this machine's clock is right."""
    skew = reply.clock_skew
    # A server that requires a key even for the time has answered, and its Date header has the time.
    if skew is None or reply.is_unanswered or reply.stops == "everything":
        return diagnosed(reply, known)
    if abs(skew) <= CLOCK_TOLERANCE_SECONDS:
        return ok(f"differs from the API's by less than {CLOCK_TOLERANCE_SECONDS:g} s")
    where = "ahead of" if skew > 0 else "behind"
    evidence = f"this machine's clock is {duration(abs(skew))} {where} the API's"
    if abs(skew) <= CLOCK_LIMIT_SECONDS:
        return notice(
            evidence,
            meaning="Kraken requires a clock that is accurate to a few seconds.",
            advice="Synchronize the clock (chrony or systemd-timesyncd).",
            cause="clock_off",
        )
    return failed(
        evidence,
        meaning="No signed request was sent. Nonces follow the clock: after one from a clock that is ahead, the API "
        "refuses those of a correct clock.",
        advice="Synchronize the clock (chrony or systemd-timesyncd), check it with timedatectl, and run the probe "
        "again.",
        cause="clock_off",
    )
