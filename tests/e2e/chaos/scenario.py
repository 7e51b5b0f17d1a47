"""What a seed means: a job, and what goes wrong in each of its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from mpingest.zone.faults import Action, Fault
from mpingest.zone.numbers import Api

OPERATIONS = ("register_sync", "register_sync", "put_sync", "put_sync", "put", "put_append")
DELETE_MODES = {"register_sync": ("unregister",), "put_sync": ("trash", "no_trash"), "put_append": ("no_trash",)}
_REQUESTS = {
    "register_sync": (Api.PHY_PATH_REG_AN, Api.MOD_DATA_OBJ_META_AN, Api.DATA_OBJ_CHKSUM_AN),
    "put": (
        Api.DATA_OBJ_PUT_AN,
        Api.DATA_OBJ_PUT_AN,
        Api.DATA_OBJ_OPEN_AN,
        Api.DATA_OBJ_WRITE_AN,
        Api.DATA_OBJ_CLOSE_AN,
        Api.STRUCT_FILE_EXT_AND_REG_AN,
        Api.DATA_OBJ_CHKSUM_AN,
    ),
    "any": (Api.COLL_CREATE_AN, Api.GEN_QUERY_AN, Api.DATA_OBJ_UNLINK_AN, Api.RM_COLL_AN, Api.DATA_OBJ_RENAME_AN),
}
_STEPS = {
    "scan": 8,
    "reply": 60,
    "record": 10,
    "record_directory": 8,
    "seal": 3,
    "publish": 2,
    "remove": 3,
    "unlink": 4,
    "join_failures": 1,
    "summary": 1,
    "release": 1,
}
"""Steps of ``tests.e2e.crash.accident``, and up to which time that a rank comes to them something may happen."""
PASSING = (-116000, -38000, -803000, -25000, -806000, -154000, -406000, -7000)
LASTING = (-818000, -110000, -169000, -186000, -129000, -876543)
"""The last one is no code of iRODS."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in one run, and how its tree changes.

    before:    changes of the tree before it begins
    meanwhile: changes of the tree, each after so many requests
    rewritten: one file of so many changes just before it is looked back at, 0 for none
    accident:  of a rank, as ``tests.e2e.crash.accident`` wants it, "" for none
    killed_at: requests after which the whole world is killed
    stopped_at: requests after which one rank gets SIGTERM
    away:      seconds until a zone that crashed is started again
    most_connections: that the zone takes
    """

    ranks: int
    before: int = 0
    meanwhile: tuple[int, ...] = ()
    rewritten: int = 0
    faults: tuple[Fault, ...] = ()
    accident: str = ""
    killed_at: int | None = None
    stopped_at: int | None = None
    away: float = 0.0
    most_connections: int | None = None

    @property
    def breaks_connections(self) -> bool:
        """Whether requests may get no answer."""
        return any(fault.action in {Action.DROP_BEFORE, Action.DROP_AFTER} for fault in self.faults)


@dataclass(frozen=True)
class Scenario:
    """A job and its runs. files: that it begins with; options: of ``mpingest start``, but for the operation."""

    seed: int
    operation: str
    files: int
    options: tuple[str, ...]
    troubles: tuple[Trouble, ...] = ()
    after: int = 0
    """Changes of the tree before the first calm run."""

    @property
    def sends_content(self) -> bool:
        """Whether objects hold copies of the files."""
        return self.operation != "register_sync"

    @property
    def deletes(self) -> bool:
        """Whether objects go with their files."""
        return "--delete-mode" in self.options


def draw(seed: int) -> Scenario:
    """The same for the same seed."""
    random = Random(seed)
    operation = random.choice(OPERATIONS)
    scenario = Scenario(seed, operation, random.randint(40, 120), tuple(_options(random, operation)))
    troubles = tuple(_trouble(random, scenario, number) for number in range(random.choice((1, 2, 2, 3))))
    return replace(scenario, troubles=troubles, after=random.choice((0, 5, 10)))


def _options(random: Random, operation: str) -> list[str]:
    options = ["--slice-size", random.choice(("10", "40"))]
    if operation != "register_sync":
        options += ["--bundle", random.choice(("never", "auto", "always"))]
        options += ["--preserve-mtime"] * (random.random() < 0.25)
    options += ["--checksum"] * (random.random() < 0.25)
    if operation in DELETE_MODES and random.random() < 0.6:
        options += ["--delete-mode", random.choice(DELETE_MODES[operation]), "--max-delete", "100000"]
    options += ["--detect-renames"] * (operation != "put_append" and random.random() < 0.25)
    return options


def _trouble(random: Random, scenario: Scenario, number: int) -> Trouble:
    trouble = Trouble(
        ranks=random.choice((1, 2, 3, 3, 4)),
        before=random.randint(5, 15) if number else 0,
        meanwhile=tuple(sorted(random.randint(10, 150) for _ in range(random.choice((0, 0, 3, 6))))),
        rewritten=random.choice((0, 0, 3, 10)),
    )
    for make in random.sample(_TROUBLES, random.choice((1, 1, 2))):
        trouble = make(random, scenario, trouble)
    return trouble


Maker = Callable[[Random, Scenario, Trouble], Trouble]


def _a_rank_dies(random: Random, _: Scenario, trouble: Trouble) -> Trouble:
    step = random.choice(list(_STEPS))
    when, number = random.choice(("before", "after")), random.randint(1, _STEPS[step])
    return replace(trouble, accident=f"any {when} {step} {number}")


def _the_world_dies(random: Random, _: Scenario, trouble: Trouble) -> Trouble:
    return replace(trouble, killed_at=random.randint(10, 150))


def _it_is_told_to_stop(random: Random, _: Scenario, trouble: Trouble) -> Trouble:
    return replace(trouble, stopped_at=random.randint(10, 150))


def _the_zone_crashes(random: Random, scenario: Scenario, trouble: Trouble) -> Trouble:
    crash = Fault(Action.CRASH, _request(random, scenario), skip=random.randint(0, 60))
    return replace(_with(trouble, crash), away=random.uniform(0, 1.0))


def _connections_break(random: Random, scenario: Scenario, trouble: Trouble) -> Trouble:
    for action in random.sample((Action.DROP_BEFORE, Action.DROP_AFTER, Action.DROP_AFTER), 2):
        trouble = _with(trouble, _fault(random, scenario, action, times=8))
    return trouble


def _requests_fail_for_now(random: Random, scenario: Scenario, trouble: Trouble) -> Trouble:
    for status in random.sample(PASSING, 3):
        trouble = _with(trouble, _fault(random, scenario, Action.FAIL, times=5, status=status))
    return trouble


def _requests_fail_for_good(random: Random, scenario: Scenario, trouble: Trouble) -> Trouble:
    for status in random.sample(LASTING, 2):
        trouble = _with(trouble, _fault(random, scenario, Action.FAIL, times=6, status=status))
    return trouble


def _connections_are_few(random: Random, _: Scenario, trouble: Trouble) -> Trouble:
    return replace(trouble, most_connections=trouble.ranks + random.randint(1, 3))


_TROUBLES: tuple[Maker, ...] = (
    _a_rank_dies,
    _a_rank_dies,
    _the_world_dies,
    _it_is_told_to_stop,
    _the_zone_crashes,
    _connections_break,
    _requests_fail_for_now,
    _requests_fail_for_good,
    _connections_are_few,
)


def _fault(random: Random, scenario: Scenario, action: Action, times: int, status: int = 0) -> Fault:
    api = _request(random, scenario)
    return Fault(
        action,
        api,
        status=status,
        skip=random.randint(0, 30),
        every=random.randint(1, 6),
        times=random.randint(1, times),
    )


def _request(random: Random, scenario: Scenario) -> int:
    """Of those that the operation sends; those that bring entries in more often."""
    main = _REQUESTS["put" if scenario.sends_content else scenario.operation]
    return int(random.choice(main if random.random() < 0.7 else _REQUESTS["any"]))


def _with(trouble: Trouble, fault: Fault) -> Trouble:
    return replace(trouble, faults=(*trouble.faults, fault))
