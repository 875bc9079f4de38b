"""Who may manage."""

import threading
from pathlib import Path

import attrs
import bcrypt
import pytest

from dragoman.adapters.management.access import Access, is_local
from dragoman.core.config import Management
from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from tests.adapters.management.office import CONFIG, SECRET, Answered, Office

HASHED = bcrypt.hashpw(b"hashed-5ecret", bcrypt.gensalt(4)).decode()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def hashed(folder: Path, **more: str) -> Office:
    return Office(folder, CONFIG.replace(f"secret-key: {SECRET}", f'secret-key: "{HASHED}"'), environment=more)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer  {SECRET} "},
        {"authorization": SECRET},
        {"x_management_key": SECRET},
        {"x_management_secret": SECRET},
        {"authorization": "Bearer sk-client-5ecret-abcdef", "x_management_key": SECRET},
    ],
)
def test_any_of_three_headers_will_do(office: Office, headers: dict[str, str]) -> None:
    assert office.ask("GET", "quota", key=None, **headers).status == 200


@pytest.mark.parametrize("key", ["sk-client-5ecret-abcdef", "wrong", SECRET + "x", SECRET[:-1], "é", "x" * 100_000])
def test_other_keys_are_refused(office: Office, key: str) -> None:
    """A client's key is one of them."""
    answer = office.ask("GET", "quota", key=None, authorization=f"Bearer {key}")
    assert (answer.status, answer.code) == (401, "invalid_management_key")
    assert answer.fields["www-authenticate"] == "Bearer"
    assert SECRET not in answer.error


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"x_management_key": ""}])
def test_no_key_at_all(office: Office, headers: dict[str, str]) -> None:
    """Which is no guess, however often."""
    for _ in range(10):
        answer = office.ask("GET", "quota", key=None, **headers)
        assert (answer.status, answer.code) == (401, "missing_management_key")
    assert office.ask("GET", "quota").status == 200


def test_without_a_secret_there_is_nothing(tmp_path: Path) -> None:
    """Whatever is asked, of whatever is there."""
    office = Office(tmp_path, CONFIG.replace(f"secret-key: {SECRET}", 'secret-key: ""'))
    for path in ("quota", "nowhere", "auth-files", "config"):
        for key in (None, "", SECRET, "sk-client-5ecret-abcdef"):
            answer = office.ask("GET", path, key=key)
            assert (answer.status, answer.code) == (404, "not_found")


def test_the_password_of_the_environment(tmp_path: Path) -> None:
    """It is a secret beside the configuration's, and lets others in than this machine."""
    office = Office(tmp_path, environment={"MANAGEMENT_PASSWORD": "pa55word"})
    for key in ("pa55word", SECRET):
        assert office.ask("GET", "quota", key=key, peer="192.0.2.1").status == 200
    office = Office(tmp_path, "allow-open: true\n", environment={"management_password": "pa55word"})
    assert office.ask("GET", "quota", key="pa55word").status == 200
    assert office.ask("GET", "quota", key="").status == 401
    assert Office(tmp_path, None, environment={"MANAGEMENT_PASSWORD": "p"}).ask("GET", "quota", key="p").status == 200


@pytest.mark.parametrize(
    ("peer", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("unix", {}, True),
        ("192.0.2.1", {}, False),
        ("::ffff:192.0.2.1", {}, False),
        ("2001:db8::1", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
        ("unix", {"x_real_ip": "192.0.2.1"}, False),
    ],
)
def test_others_than_this_machine_only_when_it_is_said(
    tmp_path: Path, office: Office, peer: str, headers: dict[str, str], local: bool
) -> None:
    """A proxy on this machine speaks for others."""
    fields = {name.replace("_", "-").encode(): b"x" for name in headers}
    assert is_local(LocalRequest("GET", "/", "", fields, b"", peer)) is local
    answer = office.ask("GET", "quota", peer=peer, **headers)
    assert (answer.status, answer.code) == ((200, None) if local else (403, "remote_management_disabled"))
    allowed = Office(tmp_path, CONFIG.replace("  secret-key", "  allow-remote: true\n  secret-key"))
    assert allowed.ask("GET", "quota", peer=peer, **headers).status == 200


def test_a_hashed_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is checked once, and then known, until there is another."""
    checks: list[bytes] = []
    check = bcrypt.checkpw

    def count(key: bytes, hashed: bytes) -> bool:
        checks.append(key)
        return check(key, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", count)
    office = hashed(tmp_path)
    for _ in range(3):
        assert office.ask("GET", "quota", key="hashed-5ecret").status == 200
    assert len(checks) == 1
    assert office.ask("GET", "quota", key=HASHED).status == 401
    assert office.ask("GET", "quota", key="wrong").status == 401
    assert office.ask("GET", "quota", key="x" * 73).status == 401
    assert office.ask("GET", "quota", key=None, x_management_key="a\0b").status == 401
    other = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    management = Management(secret=other)
    office.gateway.config = attrs.evolve(office.gateway.config, management=management)
    office.now += 100
    assert office.ask("GET", "quota", key="hashed-5ecret").status == 401


def test_a_password_beside_a_hash(tmp_path: Path) -> None:
    office = hashed(tmp_path, MANAGEMENT_PASSWORD="pa55word")
    for key in ("pa55word", "hashed-5ecret"):
        assert office.ask("GET", "quota", key=key).status == 200


def guesses(office: Office, times: int, **more: str) -> list[Answered]:
    return [office.ask("GET", "quota", key=f"guess-{n}", **more) for n in range(times)]


@pytest.mark.parametrize("is_hashed", [False, True])
def test_guessing_gets_slow(tmp_path: Path, is_hashed: bool) -> None:
    """For who guesses: the right key is not looked at either, while it waits. Others are not concerned."""
    office = hashed(tmp_path) if is_hashed else Office(tmp_path)
    right = "hashed-5ecret" if is_hashed else SECRET
    assert [answer.status for answer in guesses(office, 6)] == [401, 401, 401, 401, 429, 429]
    answer = office.ask("GET", "quota", key=right)
    assert (answer.status, answer.code, answer.fields["retry-after"]) == (429, "too_many_wrong_keys", "1")
    assert office.ask("GET", "quota", key=right, peer="::1").status == 200
    office.now += 1.0
    assert office.ask("GET", "quota", key=right).status == 200
    assert [answer.status for answer in guesses(office, 4)] == [401] * 4


def test_the_right_key_never_counts(office: Office) -> None:
    for _ in range(50):
        assert office.ask("GET", "quota").status == 200
        assert office.ask("GET", "quota", key="wrong").status == 401


def test_guesses_at_a_hash_are_made_one_after_another(tmp_path: Path) -> None:
    """A hundred at once are no more than four."""
    access = Access(lambda: 1000.0)
    request = LocalRequest("GET", "/", "", {}, b"", "127.0.0.1")
    steps: list[Step] = []
    for n in range(100):
        asked = attrs.evolve(request, fields={b"x-management-key": b"guess-%d" % n})
        steps.append(access.admit(asked, Management(secret=HASHED), lambda: LocalAnswer(200)))
    statuses: list[int] = []

    def take(step: Step) -> None:
        assert not isinstance(step, LocalAnswer)
        answer = step()
        assert isinstance(answer, LocalAnswer)
        statuses.append(answer.status)

    threads = [threading.Thread(target=take, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(401), statuses.count(429)) == (4, 96)
