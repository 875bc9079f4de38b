"""The job that renews tokens, driven by hand."""

import json
import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Config, Credential, Renewal
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.outcome import classify
from dragoman.core.effects import CloseUpstream, ConnectFailure, Effect, FailureKind, OpenUpstream, WriteUpstream
from dragoman.core.renewing import LOOK, Kept, RenewalNews, TokenRenewal
from dragoman.core.routing.plan import Choice
from tests.core.conversation import Conversation, config, provider, reply

NOW = 1000.0


def credential(n: int = 0, *, expires_at: float | None = NOW + 3600, refresh: str = "rt-0", **more: Any) -> Credential:
    renewal = Renewal(f"{n}.json", f"https://auth-{n}.test/token", refresh, expires_at=expires_at)
    defaults: dict[str, Any] = {"api_key": f"at-{n}", "is_refreshable": True, "identity": f"id{n}", "renewal": renewal}
    return Credential(f"{n}.json", **(defaults | more))


def configured(*credentials: Credential, **more: Any) -> Config:
    return config(attrs.evolve(provider(), credentials=credentials, **more))


class Job:
    """A job with its gateway, its keeper and its log."""

    def __init__(self, *credentials: Credential, **more: Any) -> None:
        self.talk = Conversation(configured(*credentials, **more), now=NOW)
        self.gateway = self.talk.gateway
        self.kept: list[Kept] = []
        self.done: list[str] = []
        self.news: list[RenewalNews] = []
        self.now = NOW
        self.open: dict[int, OpenUpstream] = {}
        self.closed: list[int] = []
        self.job = TokenRenewal(
            self.gateway,
            NOW,
            user_agent="d",
            keep=self.kept.append,
            kept=self._take,
            record=self.news.append,
            sign=self._sign,
        )

    def _sign(self, key: str, data: bytes) -> bytes:
        if key == "bad":
            raise ValueError("the key is bad")
        return key.encode() + data[:3]

    def _take(self) -> list[str]:
        done, self.done = self.done, []
        return done

    def do(self, effects: list[Effect]) -> list[bytes]:
        """Perform them; gives what was written."""
        written = []
        for effect in effects:
            match effect:
                case OpenUpstream():
                    assert effect.fresh
                    self.open[effect.attempt] = effect
                case CloseUpstream():
                    self.closed.append(effect.attempt)
                    self.open.pop(effect.attempt, None)
                case WriteUpstream():
                    written.append(effect.data)
                case _:
                    raise AssertionError(effect)
        return written

    def look(self, now: float | None = None) -> list[int]:
        """The time of the next look has come; gives the attempts that are open."""
        self.now = max(self.now + LOOK, self.job.next_deadline()) if now is None else now
        self.do(self.job.handle_timer(self.now))
        return list(self.open)

    def give(self, attempt: int, body: object, status: int = 200) -> None:
        (written,) = self.do(self.job.upstream_opened(attempt, self.now))
        assert b"refresh_token=" in written
        self.do(self.job.upstream_sent(attempt, reply(body, status=status), self.now))

    def save(self) -> None:
        self.done += [kept.identity for kept in self.kept]
        self.look()

    def token(self, n: int = 0) -> bytes:
        return self.gateway.router.tokens[f"id{n}"].line

    def status(self, n: int = 0) -> tuple[CredentialState, str, str]:
        pool = self.gateway.router.pool
        status = pool.status(pool.members[f"id{n}"], None, self.now)
        return status.state, status.refresh_state, status.reason

    def refuse(self) -> None:
        """A request was answered with 401."""
        plan = self.gateway.router.begin("shared", self.gateway.config.api_keys[0], self.now)
        if isinstance(plan.next(self.now), Choice):
            plan.report(classify(401, [], b"", self.now), self.now)

    def reload(self, *credentials: Credential, **more: Any) -> None:
        self.gateway.reload(configured(*credentials, **more), self.now)
        self.look()


def test_renewed_in_good_time() -> None:
    job = Job(credential(0), credential(1, expires_at=None), Credential("k", "key"))
    assert job.look() == []
    assert job.look(NOW + 3299) == []
    (attempt,) = job.look(NOW + 3300)
    assert job.open[attempt].origin.host == "auth-0.test"
    assert job.status() == (CredentialState.ACTIVE, "refreshing", "")
    job.give(attempt, {"access_token": "new", "refresh_token": "rt-1", "expires_in": 3600})
    assert job.closed == [attempt]
    assert (job.kept[0].file, job.kept[0].used, job.kept[0].token.access_token) == ("0.json", "rt-0", "new")
    assert b"at-0" in job.token()  # not used before it is kept
    job.save()
    assert b"Bearer new" in job.token()
    assert job.status() == (CredentialState.ACTIVE, "valid", "")
    assert job.news == [RenewalNews("acme", "0.json", "", NOW + 6600)]
    assert job.look(NOW + 6590) == []
    assert job.look(NOW + 6600) != []


def test_looks_are_rare_where_there_is_nothing_to_renew() -> None:
    job = Job(Credential("k", "key"))
    job.look(NOW)
    assert job.job.next_deadline() == NOW + 1.0
    assert job.job.handle_timer(NOW + 0.5) == []
    job.reload(credential(0))
    assert job.job.next_deadline() == pytest.approx(job.now + LOOK)
    assert not job.job.is_reading
    assert job.job.client_sent(b"x", NOW) == job.job.served(1, None, NOW) == []


def test_refused_and_renewed() -> None:
    job = Job(credential())
    job.look()
    job.refuse()
    assert job.status()[0] is CredentialState.REFRESHING
    (attempt,) = job.look()
    job.give(attempt, {"access_token": "new"})
    job.save()
    assert job.status() == (CredentialState.HALF_OPEN, "valid", "its token is being renewed")
    assert job.kept[0].token.refresh_token == ""


def test_refused_while_it_is_being_renewed() -> None:
    """One request for both; whether it is on its way or being kept."""
    for is_kept in (False, True):
        job = Job(credential(expires_at=NOW))
        (attempt,) = job.look()
        if is_kept:
            job.give(attempt, {"access_token": "new"})
        job.refuse()
        assert len(job.look()) == (not is_kept)
        if not is_kept:
            job.give(attempt, {"access_token": "new"})
        job.save()
        assert job.status()[0] is CredentialState.HALF_OPEN
        assert len(job.kept) == 1


def test_a_refusal_of_the_token_endpoint_stands() -> None:
    job = Job(credential())
    job.look()
    job.refuse()
    (attempt,) = job.look()
    job.give(attempt, {"error": "invalid_grant"}, 400)
    state, refresh_state, reason = job.status()
    assert (state, refresh_state) == (CredentialState.REJECTED, "failed")
    assert "invalid_grant" in reason
    assert job.news[-1].next_at is None
    job.now += 1801.0
    job.refuse()  # the probe, half an hour later
    assert job.look() == []
    assert job.status()[:2] == (CredentialState.REJECTED, "failed")
    assert "invalid_grant" in job.status()[2]
    job.reload(credential(refresh="login", api_key="at-login"))
    assert job.status()[0] is CredentialState.HALF_OPEN
    job.refuse()
    assert len(job.look()) == 1


def test_refused_in_good_time_the_old_token_goes_on() -> None:
    job = Job(credential(expires_at=NOW + 100))
    (attempt,) = job.look()
    job.give(attempt, {"error": "invalid_grant"}, 400)
    assert job.status()[:2] == (CredentialState.ACTIVE, "failed")


@pytest.mark.parametrize("trouble", ["unreachable", "cut", "silent", "nonsense", "huge", "503"])
def test_trouble_is_tried_again(trouble: str) -> None:
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    match trouble:
        case "unreachable":
            for _ in range(2):  # at once once more, for nothing was sent
                (attempt,) = job.open
                del job.open[attempt]
                failure = ConnectFailure(FailureKind.REFUSED, "nobody listens")
                job.do(job.job.upstream_failed(attempt, failure, job.now))
        case "cut":
            job.do(job.job.upstream_opened(attempt, job.now))
            job.do(job.job.upstream_sent(attempt, b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", job.now))
            job.do(job.job.upstream_sent(attempt, b"", job.now))
        case "silent":
            job.look(job.now + 29)
            assert list(job.open) == [attempt]
            job.look(job.now + 1)
        case "nonsense":
            job.do(job.job.upstream_sent(attempt, b"\x00", job.now))
        case "huge":
            job.do(job.job.upstream_sent(attempt, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2_000_000, job.now))
        case _:
            job.give(attempt, {}, 503)
    assert job.open == {}
    assert job.status()[:2] == (CredentialState.ACTIVE, "failed")
    assert job.news[-1].reason.startswith("its token could not be renewed")
    next_at = job.news[-1].next_at
    assert next_at == job.now + 5
    # what comes late is dropped
    assert job.job.upstream_opened(attempt, job.now) == job.job.upstream_sent(attempt, b"x", job.now) == []
    assert job.job.upstream_failed(attempt, ConnectFailure(FailureKind.REFUSED, ""), job.now) == []
    job.refuse()  # meanwhile: not asked more often for it, and nobody waits in vain
    assert job.look() == []
    assert job.status()[0] is CredentialState.REJECTED
    assert next_at is not None
    (again,) = job.look(next_at)
    job.give(again, {"access_token": "new", "expires_in": 9000})
    job.save()
    assert job.status()[:2] == (CredentialState.HALF_OPEN, "valid")


def test_an_answer_that_ends_by_closing_counts() -> None:
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    job.do(job.job.upstream_sent(attempt, b'HTTP/1.1 200 OK\r\n\r\n{"access_token":', job.now))
    job.do(job.job.upstream_sent(attempt, b'"new"}', job.now))
    assert job.kept == []
    job.do(job.job.upstream_sent(attempt, b"", job.now))
    assert job.kept[0].token.access_token == "new"


def test_another_login_while_one_is_renewed() -> None:
    """What is on its way is of no use; what is being kept is not used."""
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    job.reload(credential(refresh="login", api_key="at-login"))
    assert job.closed == [attempt]
    assert b"at-login" in job.token()
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    job.give(attempt, {"access_token": "new", "refresh_token": "rt-1"})
    job.reload(credential(refresh="login", api_key="at-login"))
    job.save()
    assert b"at-login" in job.token()
    assert job.news == []


def test_who_is_gone_or_switched_off_is_not_renewed() -> None:
    job = Job(credential(0, expires_at=NOW), credential(1, expires_at=NOW))
    first, second = job.look()
    job.give(first, {"access_token": "new"})
    job.reload(credential(0, expires_at=NOW, disabled=True))
    assert second in job.closed
    job.save()
    assert job.news == []
    job.reload(credential(0, expires_at=NOW), disabled=True)
    assert job.look() == []


def test_the_same_configuration_again_changes_nothing() -> None:
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    job.reload(credential(expires_at=NOW))
    assert list(job.open) == [attempt]
    job.give(attempt, {"access_token": "new", "refresh_token": "rt-1", "expires_in": 3600})
    job.reload(credential(expires_at=NOW))  # read before it was written
    job.save()
    assert b"Bearer new" in job.token()
    assert job.look() == []


def test_few_at_a_time() -> None:
    job = Job(*(credential(n, expires_at=NOW) for n in range(20)))
    assert len(job.look()) == 16
    job.give(1, {"access_token": "new"})
    assert len(job.look()) == 16
    assert max(job.open) == 17


def test_the_operator_wants_one_now() -> None:
    job = Job(credential())
    job.look()
    job.gateway.router.pool.want_renewal("id0")
    (attempt,) = job.look()
    assert job.status()[0] is CredentialState.ACTIVE
    job.give(attempt, {"error": "invalid_grant"}, 400)
    assert job.status()[:2] == (CredentialState.ACTIVE, "failed")


def test_nobody_waits_for_what_cannot_be_renewed() -> None:
    """A credential that is said to be refreshable, with nothing to refresh it with; one that has gone."""
    job = Job(attrs.evolve(credential(), renewal=None))
    job.look()
    job.refuse()
    job.look()
    assert job.status()[:2] == (CredentialState.REJECTED, "failed")
    job = Job(credential(0), credential(1))
    job.look()
    job.gateway.router.pool.want_renewal("id1")
    job.reload(credential(0))
    assert job.open == {}
    job.gateway.router.pool.want_renewal("id0")
    (attempt,) = job.look()
    job.gateway.router.pool.members.clear()  # gone, and not told yet
    job.give(attempt, {"error": "invalid_grant"}, 400)


def test_the_end_waits_for_what_is_on_its_way() -> None:
    """The refresh token that was sent may be good no more; what comes must be kept."""
    job = Job(credential(0, expires_at=NOW), credential(1))
    (attempt,) = job.look()
    assert job.job.drain(job.now) == []
    assert job.job.next_deadline() < math.inf
    job.gateway.router.pool.want_renewal("id1")
    assert job.look() == [attempt]
    job.give(attempt, {"access_token": "new"})
    assert job.job.next_deadline() < math.inf
    job.save()
    assert job.job.next_deadline() == math.inf
    job = Job(credential(expires_at=NOW))
    (attempt,) = job.look()
    assert job.job.abort(job.now) == [CloseUpstream(attempt)]
    assert job.job.next_deadline() == math.inf


def test_proxies_are_the_credentials_own() -> None:
    job = Job(credential(expires_at=NOW, proxy_url="socks5h://127.0.0.1:1"))
    (attempt,) = job.look()
    proxy = job.open[attempt].origin.proxy
    assert proxy is not None
    assert proxy.scheme == "socks5h"


def service(key: str = "pem") -> Credential:
    renewal = Renewal("0.json", "https://auth-0.test/token", key, expires_at=0.0, issuer="robot@example.com")
    return attrs.evolve(credential(), api_key="", renewal=renewal)


def test_the_token_of_a_service_is_made_at_once_and_kept_nowhere() -> None:
    job = Job(service())
    assert job.token() == b""
    (attempt,) = job.look()
    (written,) = job.do(job.job.upstream_opened(attempt, job.now))
    assert b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey" in written
    assert b"refresh_token" not in written
    job.do(job.job.upstream_sent(attempt, reply({"access_token": "new", "expires_in": 3600}), job.now))
    assert job.kept == []
    assert b"Bearer new" in job.token()
    job.reload(service())  # a file says no token, and that is no news
    assert b"Bearer new" in job.token()
    assert job.look() == []
    job.reload(service("another"))
    assert len(job.look()) == 1


def test_a_key_that_cannot_sign_is_said() -> None:
    job = Job(service("bad"))
    (attempt,) = job.look()
    job.do(job.job.upstream_opened(attempt, job.now))
    assert job.closed == [attempt]
    assert job.news[-1].reason == "its token cannot be made: the key is bad"
    assert job.look() == []


STEPS = st.sampled_from(["look", "later", "refuse", "give", "refused", "trouble", "save", "reload", "stale", "login"])


@given(st.lists(STEPS, max_size=40))
def test_laws(steps: list[str]) -> None:
    """One request at a time; no refresh token is used again after it was exchanged; nobody is left waiting."""
    job = Job(credential(expires_at=NOW + 400))
    present, n, used = credential(expires_at=NOW + 400), 0, [""]
    for step in steps:
        assert len(job.open) <= 1
        attempt = next(iter(job.open), 0)
        match step:
            case "later":
                job.look(job.now + 301)
            case "refuse":
                job.refuse()
            case "give" | "refused" | "trouble" if attempt:
                (written,) = job.job.upstream_opened(attempt, job.now)
                assert isinstance(written, WriteUpstream)
                sent = written.data.rpartition(b"refresh_token=")[2].decode().partition("&")[0]
                assert sent not in used
                n += 1
                status, body = {
                    "give": (200, {"access_token": f"new-{n}", "refresh_token": f"rt-{n}", "expires_in": 600}),
                    "refused": (400, {"error": "invalid_grant"}),
                    "trouble": (500, {}),
                }[step]
                used += [sent] if step == "give" else []
                job.do(job.job.upstream_sent(attempt, reply(json.loads(json.dumps(body)), status=status), job.now))
            case "save":
                for kept in job.kept:
                    assert present.renewal is not None
                    if kept.used != present.renewal.refresh_token:
                        continue  # compare and swap
                    token = kept.token
                    renewal = attrs.evolve(
                        present.renewal, refresh_token=token.refresh_token, expires_at=token.expires_at
                    )
                    present = attrs.evolve(present, api_key=token.access_token, renewal=renewal)
                job.save()
                job.kept.clear()
            case "reload":
                job.reload(present)
            case "stale":
                job.reload(credential(expires_at=NOW + 400))
            case "login" if not job.kept:
                n += 1
                present = credential(refresh=f"login-{n}", api_key=f"at-login-{n}", expires_at=job.now + 400)
                job.reload(present)
            case _:
                job.look()
    # in the end everything settles
    for _ in range(400):
        for attempt in list(job.open):
            job.give(attempt, {"error": "invalid_grant"}, 400)
        job.save()
        job.kept.clear()
        job.look(job.now + 1.0)
    assert job.status()[0] is not CredentialState.REFRESHING
