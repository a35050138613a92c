"""Answers other than balances, in the forms in which Kraken's gateway gives them."""

from http.client import responses

from starlette.responses import JSONResponse, Response


def problem(
    status: int,
    name: str,
    data: dict[str, object] | None = None,
    *,
    detail: str | None = None,
) -> Response:
    """Return a problem document (Kraken: List balances, "kraken2025" errors).

    `name` is the type after `tag:kraken.com,2025:`, such as `gateway/Connect`.
    """
    return JSONResponse(
        {
            "type": f"tag:kraken.com,2025:{name}",
            "status": status,
            "title": responses.get(status, name),
            "detail": detail,
            "instance": "https://debug.kraken.com/req/01HXYZABCDEF",
            "data": data,
        },
        status,
        media_type="application/problem+json",
    )


def permission_denied() -> Response:
    """Return the answer for an id that is unknown or out of the caller's scope; Kraken does not distinguish them."""
    return problem(403, "PermissionDenied", {"message": "Permission denied."})


def bad_request(message: str) -> Response:
    """Return the answer for a request that failed validation."""
    return problem(400, "BadRequest", {"message": message}, detail=message)


def legacy(*entries: str, status: int = 200) -> Response:
    """Return the envelope of the Spot API (Kraken: API errors), such as `EAPI:Invalid nonce`."""
    return JSONResponse({"error": list(entries)}, status)


def unknown_method() -> Response:
    """Return the answer for a path or an HTTP method that the gateway does not know."""
    return legacy("EGeneral:Unknown method", status=404)


def rate_limited(retry_after: float | None) -> Response:
    """Return 429, with `Retry-After` in seconds unless that is None.

    Kraken documents the text but neither the status nor the header; both are what its gateway
    would use.
    """
    answer = legacy("EAPI:Rate limit exceeded", status=429)
    if retry_after is not None:
        answer.headers["retry-after"] = f"{retry_after:g}"
    return answer


def html(status: int) -> Response:
    """Return a page as a proxy in front of the API would."""
    title = f"{status} {responses.get(status, 'Error')}"
    return Response(
        f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>",
        status,
        media_type="text/html",
    )


def challenge_page(status: int = 403) -> Response:
    """Return Cloudflare's challenge page."""
    answer = html(status)
    answer.headers["cf-mitigated"] = "challenge"
    return answer
