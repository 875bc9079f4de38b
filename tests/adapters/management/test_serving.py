"""Found in the table, or not."""

from pathlib import Path

import pytest

from dragoman.adapters.management import ROUTES, Outside
from dragoman.adapters.management.desk import Call, Desk, answer_file, answer_json
from dragoman.adapters.management.routes import Route, Routes
from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from tests.adapters.management.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_every_route_is_there_once() -> None:
    names = [(route.method, route.path) for route in ROUTES]
    assert len(names) == len(set(names))
    outside = [route.path for route in ROUTES if not route.path.startswith("/v0/management/")]
    assert all(route.is_public or route.lets_in for route in ROUTES if route.path in outside)


def test_what_is_not_there(office: Office) -> None:
    answer = office.ask("GET", "nowhere")
    assert (answer.status, answer.code, answer.error) == (
        404,
        "not_found",
        "Nothing answers at /v0/management/nowhere.",
    )
    assert office.ask("GET", "/elsewhere", key=None).status == 404
    assert office.ask("GET", "nowhere", key="wrong").status == 401


def test_another_method(office: Office) -> None:
    answer = office.ask("PUT", "quota")
    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
    assert office.ask("BREW", "reset-quota").fields["allow"] == "POST"
    assert office.ask("PUT", "quota", key="wrong").status == 401


def test_a_public_route_needs_no_key(office: Office) -> None:
    """Others beside it do."""

    def handle(desk: Desk, call: Call) -> Step:
        return answer_json({"version": desk.version})

    outside = Outside(
        office.desk, [Route("GET", "/public", handle, "", is_public=True), Route("GET", "/closed", handle, "")]
    )
    answer = outside.serve(LocalRequest("GET", "/public", "", {}, b""))
    assert isinstance(answer, LocalAnswer)
    assert (answer.status, answer.body) == (200, b'{"version":"1.2.3"}')
    for path in ("/closed", "/other"):
        answer = outside.serve(LocalRequest("GET", path, "", {}, b"", "127.0.0.1"))
        assert isinstance(answer, LocalAnswer)
        assert answer.status == 404


def test_names_in_paths() -> None:
    def handle(desk: Desk, call: Call) -> Step:
        return answer_json(dict(call.parts))

    routes = Routes(
        [Route("GET", "/a/{name}", handle, ""), Route("GET", "/a/b", handle, ""), Route("PUT", "/a/b", handle, "")]
    )
    found = routes.find("/a/b")
    assert found is not None
    assert (sorted(found[0]), found[2]) == (["GET", "PUT"], {})
    found = routes.find("/a/c d")
    assert found is not None
    assert (found[1], found[2]) == ("/a/{name}", {"name": "c d"})
    for path in ("/a/", "/a", "/a/b/c", "/b/c", ""):
        assert routes.find(path) is None


@pytest.mark.parametrize("query", ["&".join("a" * 101), "&".join(f"a{n}=1" for n in range(101))])
def test_too_many_parameters(office: Office, query: str) -> None:
    assert office.ask("GET", f"quota?{query}").code == "bad_request"


@pytest.mark.parametrize(
    "inner", [b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 900 + b"]" * 900, b"[" * 10**6]
)
def test_a_body_that_is_nested_too_deeply(office: Office, inner: bytes) -> None:
    for method, path in (("PUT", "api-keys"), ("PATCH", "auth-files/fields"), ("POST", "reset-quota")):
        answer = office.ask(method, path, b'{"name":"a","fields":%b}' % inner)
        assert (answer.status, answer.code) == (400, "invalid_body")


def test_parameters() -> None:
    call = Call(LocalRequest("GET", "/", "a=1&a=%20x&b=&format=list&index=7", {}, b"[1"), "/", {})
    assert (call.query["a"], call.parameter("c", "b"), call.parameter("c")) == (["1", " x"], "", None)
    assert (call.choice("format", ("list",)), call.choice("c", ("list",)), call.index()) == ("list", None, 7)


def test_a_name_of_a_file_is_safe_in_a_header() -> None:
    fields = dict(answer_file(b"", "text/plain", 'a"\r\nset-cookie: é.json').fields)
    assert fields[b"content-disposition"] == b'attachment; filename="a___set-cookie___.json"'
