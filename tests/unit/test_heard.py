# SPDX-License-Identifier: Apache-2.0
"""What a model's server answered instead of a plan, in words."""

from __future__ import annotations

import json

import pytest

from tasks.planners.heard import EMPTY, MOST_BYTES, NO_COMPLETION, NO_JSON, PAGE, REDIRECTS, Heard


def heard(status: int, body: bytes, content_type: str = "application/json") -> Heard:
    made = Heard()
    made.begin(status, content_type)
    made.take(body)
    return made


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"error": {"message": "Quota exceeded"}}, "Quota exceeded"),
        (429, {"error": "come back later"}, "come back later"),
        (400, {"detail": "bad temperature"}, "bad temperature"),
        (400, {"object": "error", "message": "bad"}, "bad"),
        (200, {"error": {"message": "overloaded"}}, "overloaded"),
        (500, {"error": {"code": 7}}, ""),
        (500, {"error": " ", "message": "no"}, "no"),
        (200, {"choices": "abc"}, NO_COMPLETION),
        (200, [], NO_COMPLETION),
        (200, None, NO_COMPLETION),
        (399, {"error": "moved"}, REDIRECTS),
        (300, {}, REDIRECTS),
        (299, {}, NO_COMPLETION),
        (400, {}, ""),
    ],
)
def test_the_server_s_own_words_where_it_has_some(status: int, body: object, reason: str) -> None:
    made = heard(status, json.dumps(body).encode())
    assert made.reason() == reason and made.redirects == (reason == REDIRECTS)


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, b"<html>", "text/html", PAGE), (502, b"bad gateway", "Text/HTML; charset=utf-8", PAGE),
        (200, b"\n <!doctype html>", "", PAGE), (200, b"", "", EMPTY), (204, b" \n", "", EMPTY), (500, b"", "", ""),
        (400, b"", "", ""),
        (200, b"hello", "text/plain", NO_JSON), (429, b" slow down\n", "text/plain", "slow down"),
        (400, b"\xff", "text/plain", "\ufffd"), (399, b"<html>", "text/html", REDIRECTS),
        (200, b"[" * 60_000, "application/json", NO_JSON),
    ],
)  # fmt: skip
def test_what_is_no_json_is_told_by_its_kind(status: int, body: bytes, kind: str, reason: str) -> None:
    assert heard(status, body, kind).reason() == reason


def test_no_more_is_kept_than_an_error_has_and_the_next_answer_begins_anew() -> None:
    assert Heard().status == 0, "no answer has come"
    made = heard(500, b"x" * (MOST_BYTES - 1))
    made.take(b"yz")
    made.take(b"more")
    assert len(made.body) == MOST_BYTES and made.body.endswith(b"xy")
    made.begin(200, "")
    assert made.reason() == EMPTY and not made.redirects
