"""What things cost, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from mpingest.jobs.slices import CHUNK


@dataclass(frozen=True)
class Costs:
    """stat:    latency of one stat: dwalk sees 0.86 ms on Lustre (mpifileutils#552: 64 ranks, 74,000 items/s)
    in_flight:  stats that a rank has in flight
    ceiling:    stats a second that the file system's servers can do for all ranks together: 544,000 on one pair of
                metadata servers is the most that is published for Lustre. Ranks that scan share it
    open:       opendir and the first getdents
    name:       each name that getdents gives: 500,000 names/s
    ingest:     one request to the zone, 0 for a scan alone; 14 ms is 70 requests/s
    sessions:   requests that a rank has in flight
    chunk:      entries that a session takes at a time; what it has taken cannot be stolen
    latency, bandwidth: of a message, and bytes/s; entry: bytes that an entry has in a slice
    message, send: what rank 0 needs for a message that it receives, or sends; a worker the same, and ``turn`` for each
                turn of its loop
    """

    stat: float = 0.86e-3
    in_flight: int = 8
    ceiling: float = 544e3
    open: float = 2e-3
    name: float = 2e-6
    ingest: float = 0.0
    sessions: int = 2
    chunk: int = CHUNK
    latency: float = 10e-6
    bandwidth: float = 1e9
    entry: int = 130
    message: float = 20e-6
    send: float = 5e-6
    turn: float = 30e-6
    slice_size: int = 1000

    def scan(self, entries: int) -> float:
        """A directory that is stat'ed at once, if no one else scans."""
        return self.open + entries * self.name + ceil(entries / self.in_flight) * self.stat

    def per_entry(self, is_statted: bool) -> float:
        """One of many entries of a slice, if no one else scans."""
        ingest = self.ingest / self.sessions
        return ingest if is_statted else ingest + self.stat / self.in_flight

    @property
    def granule(self) -> int:
        """Entries of a slice that are begun together."""
        return self.chunk * self.sessions if self.ingest else self.in_flight

    @property
    def single(self) -> float:
        """Everything for one entry alone."""
        return self.stat + self.ingest
