"""Messages of the farm, as flat byte buffers (no pickle: rank 0 reads tens of thousands a second).

Every message is an 8-byte header (tag, flag, zero, count of items) and a body of int64 or packed units,
little-endian. What a worker says to the coordinator: IDLE, REPORT, STALLED, RETURNED. What it hears: WORK, GIVE, ALLOT,
LEASE, STOP, FINISH.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from mpingest.farm.limits import Rates
from mpingest.farm.units import Unit, UnitKind


class ProtocolError(RuntimeError):
    """A rank said what it cannot have meant: a bug, never bad input."""


@dataclass(frozen=True, slots=True, eq=False)
class Idle:
    """Worker to coordinator: I hold no unit and run none, and now wait for WORK.

    counters: int64, shape (k,), the executor's progress so far
    """

    counters: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Worker to coordinator: so much could be stolen from me now.

    is_answer:    whether this follows a GIVE (which it then settles)
    subtrees:     stealable subtrees
    depth:        of the shallowest of them
    slices:       stealable slices, those included that running ones could be divided into
    slice_weight: entries in them
    wanted:       slots that I could use now
    counters:     as in ``Idle``
    """

    is_answer: bool
    subtrees: int
    depth: int
    slices: int
    slice_weight: int
    wanted: int
    counters: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stalled:
    """Worker to coordinator: what I run makes no progress any more; comes before the IDLE of that worker.

    what: for people, what it is stuck on
    """

    what: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Coordinator or victim to a worker that said IDLE: these units are yours. May be empty."""

    units: Sequence[Unit]


@dataclass(frozen=True, slots=True)
class Give:
    """Coordinator to victim: share your units of that kind with these ranks, one WORK to each.

    Slices that run are divided if fewer wait than ranks are named.
    """

    kind: UnitKind
    thieves: Sequence[int]


@dataclass(frozen=True, slots=True)
class Allot:
    """Coordinator to a worker: of what all together may do a second, this is your part."""

    rates: Rates


@dataclass(frozen=True, slots=True)
class Lease:
    """Coordinator to a worker: so many slots are yours from now on. One that is lower is answered by RETURNED."""

    slots: int


@dataclass(frozen=True, slots=True)
class Returned:
    """Worker to coordinator: I use no more slots than you leased me."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Coordinator to all workers: drop what has not begun, finish what runs."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Coordinator to all workers: no unit exists anywhere. The last message of all."""


Message = Idle | Report | Stalled | Returned | Work | Give | Allot | Lease | Stop | Finish


@dataclass(frozen=True, slots=True)
class Send:
    """An encoded message and the rank it goes to."""

    destination: int
    payload: bytes


class _Tag(IntEnum):
    IDLE = 1
    REPORT = 2
    WORK = 3
    GIVE = 4
    STOP = 5
    FINISH = 6
    STALLED = 7
    ALLOT = 8
    LEASE = 9
    RETURNED = 10


_BARE = {Returned: _Tag.RETURNED, Stop: _Tag.STOP, Finish: _Tag.FINISH}
"""Messages without a body."""
_HEADER = struct.Struct("<BBxxI")
_UNIT = np.dtype([("kind", "<i8"), ("depth", "<i8"), ("weight", "<i8"), ("size", "<i8")])
_REPORT_FIELDS = 5
_RATES = struct.Struct("<3d")


def encode(message: Message) -> bytes:  # noqa: PLR0911 (one for each kind)
    """One message as bytes."""
    match message:
        case Idle(counters):
            return _pack(_Tag.IDLE, 0, len(counters), _int64(counters))
        case Report(is_answer, subtrees, depth, slices, slice_weight, wanted, counters):
            body = _int64([subtrees, depth, slices, slice_weight, wanted]) + _int64(counters)
            return _pack(_Tag.REPORT, is_answer, len(counters), body)
        case Stalled(what):
            return _pack(_Tag.STALLED, 0, len(what), what)
        case Work(units):
            return _pack(_Tag.WORK, 0, len(units), _pack_units(units))
        case Give(kind, thieves):
            return _pack(_Tag.GIVE, kind, len(thieves), _int64(thieves))
        case Allot(rates):
            return _pack(_Tag.ALLOT, body=_RATES.pack(*astuple(rates)))
        case Lease(slots):
            return _pack(_Tag.LEASE, 0, slots)
        case Returned() | Stop() | Finish():
            return _pack(_BARE[type(message)])


def decode(data: bytes) -> Message:  # noqa: PLR0911
    """The inverse of ``encode``. Raises ProtocolError where the bytes are no message."""
    try:
        tag, flag, count = _HEADER.unpack_from(data)
        match tag:
            case _Tag.IDLE:
                return Idle(_numbers(data, count))
            case _Tag.REPORT:
                numbers = _numbers(data, _REPORT_FIELDS + count)
                subtrees, depth, slices, slice_weight, wanted = numbers[:_REPORT_FIELDS].tolist()
                counters = numbers[_REPORT_FIELDS:]
                return Report(bool(flag), subtrees, depth, slices, slice_weight, wanted, counters)
            case _Tag.STALLED:
                return Stalled(_text(data, count))
            case _Tag.WORK:
                return Work(_unpack_units(data, count))
            case _Tag.GIVE:
                return Give(UnitKind(flag), _numbers(data, count).tolist())
            case _Tag.ALLOT:
                return Allot(Rates(*_RATES.unpack(data[_HEADER.size :])))
            case _Tag.LEASE:
                return Lease(count)
            case _Tag.RETURNED:
                return Returned()
            case _Tag.STOP:
                return Stop()
            case _Tag.FINISH:
                return Finish()
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"not a message of the farm: {data[:16]!r}… ({len(data)} bytes)") from error
    raise ProtocolError(f"unknown message tag {tag}")


def _pack(tag: _Tag, flag: int = 0, count: int = 0, body: bytes = b"") -> bytes:
    return _HEADER.pack(tag, flag, count) + body


def _int64(values: Sequence[int] | npt.NDArray[np.int64]) -> bytes:
    return np.asarray(values, "<i8").tobytes()


def _numbers(data: bytes, count: int) -> npt.NDArray[np.int64]:
    if len(data) != _HEADER.size + 8 * count:
        raise ValueError("length and count differ")
    return np.frombuffer(data, "<i8", count, _HEADER.size)


def _text(data: bytes, count: int) -> bytes:
    if len(data) != _HEADER.size + count:
        raise ValueError("length and count differ")
    return data[_HEADER.size :]


def _pack_units(units: Sequence[Unit]) -> bytes:
    table = np.array([(u.kind, u.depth, u.weight, len(u.payload)) for u in units], _UNIT)
    return b"".join([table.tobytes(), *(unit.payload for unit in units)])


def _unpack_units(data: bytes, count: int) -> list[Unit]:
    table = np.frombuffer(data, _UNIT, count, _HEADER.size)
    bounds = list(accumulate(table["size"].tolist(), initial=_HEADER.size + table.nbytes))
    if bounds[-1] != len(data):
        raise ValueError("length and sizes differ")
    return [
        Unit(UnitKind(kind), depth, weight, data[start:stop])
        for (kind, depth, weight, _), (start, stop) in zip(table.tolist(), pairwise(bounds), strict=True)
    ]
