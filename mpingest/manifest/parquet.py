"""Parquet of exported rows, by pyarrow, which comes with the extra ``mpingest[parquet]``.

Types: path, error: string; type, outcome, change: string, dictionary-encoded; size: int64; mtime, ctime: timestamp in
nanoseconds, UTC; uid, gid, nlink: uint32; mode: uint16; inode: uint64; code: int32. Compressed by Zstandard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from mpingest.errors import MpingestError
from mpingest.manifest.export import TYPE_WORDS, Records, StatusNames
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.text import escaped

ROW_GROUP = 1 << 17
"""Rows that are encoded together: some 30 MB of memory."""


def write_parquet(found: Iterator[Records], stream: BinaryIO, names: StatusNames) -> None:
    """Writes rows in groups of at least ``ROW_GROUP``, but for the last. Raises MpingestError without pyarrow."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise MpingestError(f"Parquet needs pyarrow: pip install 'mpingest[parquet]' ({error})") from error

    schema = _schema(pyarrow)
    with ParquetWriter(stream, schema, compression="zstd") as writer:
        batches: list[Any] = []
        rows = 0
        for each in found:
            batches.append(pyarrow.record_batch(_columns(pyarrow, each, names), schema))
            rows += len(each.paths)
            if rows >= ROW_GROUP:
                writer.write_table(pyarrow.Table.from_batches(batches), rows)
                batches, rows = [], 0
        if batches:
            writer.write_table(pyarrow.Table.from_batches(batches), rows)


def _schema(pa: Any) -> Any:
    word, time = pa.dictionary(pa.int8(), pa.string()), pa.timestamp("ns", "UTC")
    return pa.schema(
        {
            "path": pa.string(),
            "type": word,
            "size": pa.int64(),
            "mtime": time,
            "ctime": time,
            "uid": pa.uint32(),
            "gid": pa.uint32(),
            "mode": pa.uint16(),
            "nlink": pa.uint32(),
            "inode": pa.uint64(),
            "outcome": word,
            "change": word,
            "code": pa.int32(),
            "error": pa.string(),
        }
    )


def _columns(pa: Any, found: Records, names: StatusNames) -> list[Any]:
    rows, results = found.rows, found.results
    paths = found.paths if found.plain else [escaped(path) for path in found.paths]
    time = pa.timestamp("ns", "UTC")

    def words(by_number: list[str], numbers: Any) -> Any:
        distinct = list(dict.fromkeys(by_number))  # readers refuse a dictionary that holds a word twice
        places = np.array([distinct.index(word) for word in by_number], np.int8)
        return pa.DictionaryArray.from_arrays(pa.array(places[numbers]), pa.array(distinct))

    return [
        pa.array(paths, pa.string()),
        words(TYPE_WORDS, found.types()),
        pa.array(rows["size"]),
        pa.array(rows["mtime_ns"]).cast(time),
        pa.array(rows["ctime_ns"]).cast(time),
        pa.array(rows["uid"]),
        pa.array(rows["gid"]),
        pa.array(found.modes().astype(np.uint16)),
        pa.array(rows["nlink"]),
        pa.array(rows["inode"]),
        words([outcome.name.lower() for outcome in Outcome], results["outcome"]),
        words([change.name.lower() for change in Change], results["change"]),
        pa.array(results["code"]),
        pa.array([names[code] if code < 0 else None for code in results["code"].tolist()], pa.string()),
    ]
