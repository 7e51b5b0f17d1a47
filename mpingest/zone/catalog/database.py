"""One SQLite connection for the whole server: requests take turns, each in one transaction."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpingest.zone.catalog.schema import FIRST_ID, LEVELS, TABLES, VERSION
from mpingest.zone.statuses import Status, ZoneError

Row = tuple[Any, ...]


def now() -> str:
    """The time as catalogs hold it: seconds since the epoch, eleven digits."""
    return f"{int(time.time()):011d}"


class Database:
    """The catalog's connection, its lock and its sequence of object ids.

    WAL without fsync: a killed process loses nothing that was committed, a power cut may.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._of_thread = threading.local()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "case_sensitive_like=ON", "temp_store=MEMORY"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._check_version()
        with self.transaction():
            for statement in TABLES:
                self._connection.execute(statement)
            self._connection.executemany("INSERT OR IGNORE INTO levels VALUES (?, ?)", LEVELS)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")
        self._ids = itertools.count(self._highest_id() + 1)

    def close(self) -> None:
        """Leave one file behind, without a log."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. SQL that fails becomes a ZoneError: duplicate keys -809000, anything else -806000."""
        with self._lock:
            before = self._connection.total_changes
            self._connection.execute("BEGIN")
            try:
                yield
            except sqlite3.IntegrityError:
                self._connection.execute("ROLLBACK")
                raise ZoneError(Status.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME) from None
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                self._connection.execute("ROLLBACK")
                raise ZoneError(Status.CAT_SQL_ERR, str(error)) from None
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            self._of_thread.changes = self.thread_changes + self._connection.total_changes - before

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several reads of one state."""
        with self._lock:
            yield

    def execute(self, sql: str, *values: Any) -> int:
        """Run a statement; how many rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def row(self, sql: str, *values: Any) -> Row | None:
        """The first row, if any."""
        with self._lock:
            found: Row | None = self._connection.execute(sql, values).fetchone()
            return found

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        return self.rows_of(sql, values)

    def rows_of(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """All rows, the values given as one sequence."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def new_id(self) -> int:
        """The next number for an object, user, resource or attribute."""
        return next(self._ids)

    @property
    def thread_changes(self) -> int:
        """Rows that the calling thread's transactions ever changed and committed."""
        return int(getattr(self._of_thread, "changes", 0))

    def _check_version(self) -> None:
        row = self.row("PRAGMA user_version")
        if row and row[0] > VERSION:
            raise sqlite3.DatabaseError(f"its format {row[0]} is newer than this program's {VERSION}")

    def _highest_id(self) -> int:
        columns = {"users": "user_id", "resources": "resc_id", "collections": "coll_id", "replicas": "data_id"}
        columns |= {"avus": "meta_id", "zones": "zone_id"}
        union = " UNION ALL ".join(f"SELECT max({column}) AS id FROM {table}" for table, column in columns.items())
        row = self.row(f"SELECT max(id) FROM ({union})")
        return max(FIRST_ID, (row and row[0]) or 0)
