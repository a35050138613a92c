"""Answers that no app gives: whole HTTP, with the headers that every answer has."""

from exporter.web.access.headers import bad_request


def test_a_bad_request_is_a_whole_answer_with_the_headers_of_all_others() -> None:
    assert bad_request("The Host header is malformed.", [(b"x-frame-options", b"DENY")]) == (
        b"HTTP/1.1 400 Bad Request\r\n"
        b"content-type: text/plain; charset=utf-8\r\n"
        b"content-length: 30\r\n"
        b"connection: close\r\n"
        b"x-frame-options: DENY\r\n"
        b"\r\n"
        b"The Host header is malformed.\n"
    )
