"""The log over HTTP: real files of a folder."""

from pathlib import Path

import pytest

from tests.adapters.management.office import CONFIG, Office

LINES = [
    f"time=2027-01-15T08:00:0{n}.000Z level={level} event=e{n}" for n, level in enumerate(["info", "warning", "error"])
]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "main.1.log").write_text(LINES[0] + "\n")
    (folder / "main.log").write_text("\n".join(LINES[1:]) + "\n")
    return Office(tmp_path, f"logging-to-file: true\nlogs-dir: {folder}\n{CONFIG}")


def test_lines_of_the_log(office: Office) -> None:
    """The last, those after an instant, those that are bad; what comes next is asked for with what was told."""
    told = office.ask("GET", "logs").json
    assert (told["lines"], told["line-count"]) == (LINES, 3)
    assert office.ask("GET", "logs?limit=1").json["lines"] == LINES[2:]
    assert office.ask("GET", "logs?level=warning").json["lines"] == LINES[1:]
    first = told["latest-timestamp"] - 2
    assert office.ask("GET", f"logs?after={first}").json["lines"] == LINES[1:]
    for name in ("after", "cursor"):
        again = office.ask("GET", f"logs?{name}={told['next-cursor']}").json
        assert (again["lines"], again["next-cursor"]) == ([], told["next-cursor"])


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "after=-1", "after=1e400", "level=loud", "cursor="]
)
def test_what_cannot_be_asked(office: Office, query: str) -> None:
    assert office.ask("GET", f"logs?{query}").code == "bad_request"


def test_it_can_be_deleted(office: Office) -> None:
    assert office.ask("DELETE", "logs").json["removed"] == 2
    assert office.ask("GET", "logs").json["lines"] == []
    assert "log deleted" in office.logged()


def test_a_log_that_goes_to_no_file(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for method in ("GET", "DELETE"):
        answer = office.ask(method, "logs")
        assert (answer.status, answer.code) == (400, "no_log_files")


FAILED = "error-v1-messages-2027-01-15T080000-req-1.log"
FINE = "v1-messages-2027-01-15T080001-req-2.log"


def test_files_of_exchanges(office: Office, tmp_path: Path) -> None:
    """Those that failed are listed; each is had by its name, or by the id of its request. Nothing else of the folder is."""
    for name in (FAILED, FINE):
        (tmp_path / "logs" / name).write_text(f"of {name}")
    (tmp_path / "logs" / "error-notes.log").write_text("mine")
    listed = office.ask("GET", "request-error-logs").json["files"]
    assert [(file["name"], file["size"]) for file in listed] == [(FAILED, len(FAILED) + 3)]
    answer = office.ask("GET", f"request-error-logs/{FAILED}")
    assert answer.body == f"of {FAILED}".encode()
    assert (answer.fields["content-type"], answer.fields["x-content-type-options"]) == (
        "text/plain; charset=utf-8",
        "nosniff",
    )
    assert office.ask("GET", "request-log-by-id/req-2").body == f"of {FINE}".encode()
    for path in (
        f"request-error-logs/{FINE}",
        "request-error-logs/error-notes.log",
        "request-error-logs/..",
        "request-log-by-id/req-3",
    ):
        assert office.ask("GET", path).code == "not_found"
    (tmp_path / "logs" / FAILED).unlink()
    (tmp_path / "logs" / FAILED).mkdir()
    assert office.ask("GET", f"request-error-logs/{FAILED}").status == 404


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    office = Office(tmp_path, f"logs-dir: {tmp_path / 'nowhere'}\n{CONFIG}")
    assert office.ask("GET", "request-error-logs").json == {"files": []}
