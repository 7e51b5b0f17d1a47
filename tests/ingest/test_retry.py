"""When requests are tried again."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator

import irods.exception
import pytest
from irods.auth import ClientAuthError
from irods.exception import NetworkException

from mpingest.ingest.retry import BROKEN_TRIES, BUSY_TRIES, Breaker, Interrupted, RetryPolicy, ZoneGone
from mpingest.ingest.statuses import (
    LISTED,
    NETWORK_FAILURE,
    LoginRefused,
    RequestError,
    Verdict,
    login_error,
    nominal,
    status_name,
    status_of,
    verdict,
)


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0
        self.ends = float("inf")
        self.pauses: list[float] = []

    def wait(self, timeout: float) -> bool:
        self.now += timeout
        self.pauses.append(timeout)
        return self.is_set()

    def is_set(self) -> bool:
        return self.now >= self.ends

    def policy(self, zone_timeout: float = 60, away: tuple[float, float] = (0, 0)) -> RetryPolicy:
        """A policy for a zone that does not answer in a span of time."""

        def probe() -> None:
            if away[0] <= self.now < away[1]:
                raise RequestError(NETWORK_FAILURE)

        return RetryPolicy(Breaker(probe, zone_timeout, self, lambda: self.now))


def failing(*statuses: int) -> Iterator[int]:
    yield from statuses


def request_of(statuses: Iterator[int]):
    def request() -> str:
        status = next(statuses, 0)
        if status:
            raise RequestError(status)
        return "answer"

    return request


def test_transient_failures_are_waited_out_with_growing_pauses() -> None:
    time = FakeTime()
    assert time.policy().run(request_of(failing(*[NETWORK_FAILURE] * 6))) == "answer"
    assert len(time.pauses) == 6
    assert time.pauses[5] > time.pauses[0]


def test_a_zone_that_is_away_for_long_costs_no_entry_its_tries() -> None:
    time = FakeTime()
    policy = time.policy(zone_timeout=900, away=(0, 800))
    for _ in range(2 * BROKEN_TRIES):
        assert policy.run(request_of(failing(NETWORK_FAILURE))) == "answer"
    assert 800 < time.now < 830


def test_a_zone_that_stays_away_ends_the_run() -> None:
    time = FakeTime()
    with pytest.raises(ZoneGone, match="has not answered") as caught:
        time.policy(zone_timeout=60, away=(0, float("inf"))).run(request_of(failing(*[NETWORK_FAILURE] * 1000)))
    assert caught.value.exit_code == 75
    assert 60 < time.now < 120


def test_a_request_that_breaks_off_while_the_zone_answers_fails() -> None:
    time = FakeTime()
    with pytest.raises(RequestError):
        time.policy().run(request_of(failing(*[NETWORK_FAILURE] * 1000)))
    assert len(time.pauses) == BROKEN_TRIES - 1


def test_who_is_no_longer_let_in_waits_whatever_the_status_says() -> None:
    assert verdict(-826000) is Verdict.PERMANENT
    assert LoginRefused(-826000).verdict is Verdict.TRANSIENT


def test_one_thread_asks_and_the_others_wait_for_its_answer() -> None:
    ending, back, asked = threading.Event(), threading.Event(), threading.Event()
    probes = []

    def probe() -> None:
        probes.append(threading.current_thread())
        asked.set()
        assert back.wait(30)

    policy = RetryPolicy(Breaker(probe, 900, ending))
    sent = []

    def work(statuses: Iterator[int]) -> None:
        policy.run(request_of(statuses))
        sent.append(threading.current_thread())

    first = threading.Thread(target=work, args=(failing(NETWORK_FAILURE),))
    first.start()
    assert asked.wait(30)
    others = [threading.Thread(target=work, args=(failing(),)) for _ in range(5)]
    for thread in others:
        thread.start()
    others[0].join(0.5)
    assert sent == []
    back.set()
    for thread in (first, *others):
        thread.join(30)
    assert probes == [first]
    assert len(sent) == 6


def test_nothing_is_tried_again_when_the_run_ends() -> None:
    time = FakeTime()
    time.ends = 5
    with pytest.raises(Interrupted):
        time.policy(away=(0, float("inf"))).run(request_of(failing(*[NETWORK_FAILURE] * 1000)))
    assert time.now < 15


def test_busy_is_tried_a_few_times() -> None:
    time = FakeTime()
    with pytest.raises(RequestError):
        time.policy().run(request_of(failing(*[-406000] * 10)))
    assert len(time.pauses) == BUSY_TRIES - 1


@pytest.mark.parametrize("status", [-818000, -809000, -808000, -814000, -999999000])
def test_anything_else_is_not_tried_again(status: int) -> None:
    time = FakeTime()
    with pytest.raises(RequestError):
        time.policy().run(request_of(failing(status)))
    assert time.pauses == []


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (-809000, "CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME", Verdict.ALREADY),
        (-510013, "UNIX_FILE_OPEN_ERR", Verdict.PERMANENT),
        (-405000, "INTERMEDIATE_REPLICA_ACCESS", Verdict.LOCKED),
        (-129000, "PATH_REG_NOT_ALLOWED", Verdict.PERMANENT),
        (-123456789, "IRODS_ERROR_123456000", Verdict.PERMANENT),
        (NETWORK_FAILURE, "NETWORK_FAILURE", Verdict.TRANSIENT),
        (-116000 - 104, "SYS_SOCK_READ_ERR", Verdict.TRANSIENT),
        (-512000 - 5, "UNIX_FILE_READ_ERR", Verdict.BUSY),
        (-513000 - 28, "UNIX_FILE_WRITE_ERR", Verdict.PERMANENT),
        (-181000, "SHUTDOWN_SEQUENCE_INITIATED", Verdict.TRANSIENT),
        (-9000, "SYS_EXCEED_CONNECT_CNT", Verdict.BUSY),
    ],
)
def test_statuses_have_names_and_verdicts(status: int, name: str, expected: Verdict) -> None:
    assert status_name(status) == name
    assert verdict(status) is expected


def test_nominal_takes_off_the_errno() -> None:
    assert [nominal(status) for status in (-1000, -1013, -510002, -1, 0, 5)] == [-1000, -1000, -510000, -1, 0, 5]


def test_every_number_has_a_name_a_reason_and_a_verdict() -> None:
    known = irods.exception.iRODSExceptionMeta.codes
    for code in {*known, *range(-2_200_000, 0, 1000), *LISTED} - {0}:
        status = status_of(code)
        assert status.name
        assert status.reason
        if code in known:
            assert status.name == known[code].__name__
    names = [status.name for status in LISTED.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NetworkException("gone"), NETWORK_FAILURE),
        (ConnectionResetError("gone"), NETWORK_FAILURE),
        (ssl.SSLCertVerificationError("not trusted"), -2105000),
        (irods.exception.get_exception_by_code(-826000), -826000),
        (KeyError(-185000), -185000),
        (KeyError("a"), -178000),
        (irods.exception.iRODSException(), -178000),
        (ClientAuthError("no"), -178000),
        (RuntimeError("pam_password needs TLS"), -178000),
    ],
)
def test_whatever_the_client_raises_at_login_is_a_status(error: Exception, status: int) -> None:
    assert login_error(error).status == status
