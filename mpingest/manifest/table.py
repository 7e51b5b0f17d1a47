"""Sorted tables in HDF5: the file format of segments and checkpoints, schema version 2.

A table is a row of blocks, as in the SSTable of Bigtable (Chang et al., OSDI 2006): sorted by directory, then by name,
and looked up by the first directory of each block. Block ``i`` is row ``i``, and the one chunk ``i``, of each dataset
of shape (k, ...); what lies beyond its counts is zero padding, which compresses away. So a reader touches one chunk
a dataset, and blocks can be copied from table to table as raw chunks.

A reader needs nothing but an HDF5 library. All numbers are little-endian, sizes in bytes, times in nanoseconds since
the epoch (UTC); dtypes are spelled as in NumPy, those of the fields of a compound type below it.

=================  ===========  =====  =================================================================================
dataset and field  shape        dtype  meaning
=================  ===========  =====  =================================================================================
/blocks            (k,)                what block i holds
.rows                           <u4    its entries
.directories                    <u4    its directories, of which the first may go on from the block before
.name_bytes                     <u4    size of all its names, joined
.path_bytes                     <u4    size of all its directories' paths, joined
.first_path_bytes               <u4    size of the first of these paths
.outcomes          (7,)         <u4    its entries by outcome; (6,) in version 1, which has none released
/first_paths       (n,)         |u1    the first directory's path of each block, joined
/entries           (k, 8192)           lstat of each entry, as it was before its transfer
.mode                           <u4    st_mode: type and permission bits
.nlink                          <u4    st_nlink
.uid                            <u4    st_uid
.gid                            <u4    st_gid
.inode                          <u8    st_ino
.size                           <i8    st_size, bytes; what the object holds of one that is unsettled or failed, as
                                       far as that is known to be another size
.mtime_ns                       <i8    st_mtim, nanoseconds
.ctime_ns                       <i8    st_ctim, nanoseconds
/results           (k, 8192)           what became of each entry
.outcome                        |u1    0 done, 1 skipped, 2 failed, 3 unsettled, 4 gone, 5 removed, 6 released:
                                       see ``Outcome``
.change                         |u1    0 unchanged, 1 new, 2 modified, 3 metadata, 4 retry, 5 deleted: see ``Change``
.code                           <i4    iRODS status: an error if < 0, else the number of the replica
/name_bytes        (k, 8192)    <u2    size of each entry's name
/names             (k, 262144)  |u1    the names, joined
/directories       (k, 2048)           the directories that have entries in this block, or a state
.rows                           <u4    entries of the directory in this block
.state                          |u1    0 unknown, 1 complete, 2 partial, 3 failed: see ``DirectoryState``
.cleared                        |u1    1: whatever older tables hold at and below it is void; 0 in a checkpoint
/path_bytes        (k, 2048)    <u4    size of each directory's path
/paths             (k, 131072)  |u1    the directories' paths, joined
=================  ===========  =====  =================================================================================

===========  =====  ===================================================================================================
attribute    dtype  meaning
===========  =====  ===================================================================================================
format       |S     "mpingest table"
version      <i8    of this format: 2
program      |S     version of mpingest that wrote the file
job          |S     name of the job; "scan" of a scan
root         |S     absolute path of the root
target       |S     logical path of the collection, UTF-8; empty of a scan
host         |S     where it was written
run          <i8    number of the run; of a checkpoint, of the last one merged
rank         <i8    rank that recorded a segment; 0 of a checkpoint
segment      <i8    1, 2, ... among the segments of a rank in a run; 0 of a checkpoint
entries      <i8    entries in all
directories  <i8    directories in all; one that goes on in another block counts once
===========  =====  ===================================================================================================

Names and paths are raw bytes without terminator. Paths are relative to the root, whose own is empty; the order of
directories is that of their paths with ``/`` replaced by NUL, names are ordered bytewise within their directory. A
directory that does not fit into a block goes on in the next, where its path stands again; its first piece has the
state that holds. Strings among the attributes are of fixed size, that of their bytes.

Every dataset is shuffled, compressed by deflate and checked by Fletcher-32, which every HDF5 library has. The shuffle
filter takes a chunk of structs apart byte by byte, so that structs are stored as columns. Deltas of inodes and times,
or times split in seconds and nanoseconds, save less than 1 byte an entry of 15, so values stand as they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
import numpy.typing as npt

import mpingest
from mpingest.errors import MpingestError
from mpingest.manifest.block import DIRECTORY_DTYPE, RESULT_DTYPE, Block, directory_path
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

FORMAT = b"mpingest table"
VERSION = 2


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The most that one block of a file holds."""

    rows: int = 8192
    name_bytes: int = 1 << 18
    directories: int = 2048
    path_bytes: int = 1 << 17

    def are_half_used(self, rows: int, name_bytes: int, directories: int, path_bytes: int) -> bool:
        """Whether a block that holds so much is at least half full, in one way or the other."""
        counts = (rows, name_bytes, directories, path_bytes)
        limits = (self.rows, self.name_bytes, self.directories, self.path_bytes)
        return any(2 * count >= limit for count, limit in zip(counts, limits, strict=True))

    def columns(self) -> dict[str, tuple[npt.DTypeLike, int]]:
        """Element type and elements a block of each dataset that has one row a block."""
        return {
            "entries": (ENTRY_DTYPE, self.rows),
            "results": (RESULT_DTYPE, self.rows),
            "name_bytes": ("<u2", self.rows),
            "names": ("u1", self.name_bytes),
            "directories": (DIRECTORY_DTYPE, self.directories),
            "path_bytes": ("<u4", self.directories),
            "paths": ("u1", self.path_bytes),
        }


LIMITS = BlockLimits()

BLOCK_DTYPE = np.dtype(
    [
        ("rows", "<u4"),
        ("directories", "<u4"),
        ("name_bytes", "<u4"),
        ("path_bytes", "<u4"),
        ("first_path_bytes", "<u4"),
        ("outcomes", "<u4", (len(Outcome),)),  # entries by outcome
    ]
)
"""Counts of one block."""

_LEVEL = 1
_CHECKSUM = 4  # bytes
_FILTERS = {"compression": "gzip", "compression_opts": _LEVEL, "shuffle": True, "fletcher32": True}


class DamagedTable(MpingestError):
    """A file that is no table, or no longer a whole one."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, problem)  # as they are, so that it can be told from rank to rank
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path} is damaged or not a manifest: {self.problem}"


@dataclass(frozen=True, slots=True)
class JobAttributes:
    """Where a table comes from."""

    job: str
    root: bytes
    """Absolute path of the root."""
    target: str
    """Logical path of the collection."""
    run: int
    """Number of the run; of a checkpoint, the last one merged."""
    host: str
    rank: int = 0
    segment: int = 0
    """1, 2, … among the segments of a rank in a run; 0 for a checkpoint."""

    def marks(self) -> dict[str, Any]:
        """As HDF5 attributes: integers, and strings of fixed size, which the checksum of the file's header covers."""
        text: dict[str, str | bytes] = {"job": self.job, "root": self.root, "target": self.target, "host": self.host}
        numbers = {"run": self.run, "rank": self.rank, "segment": self.segment}
        return {name: np.bytes_(os.fsencode(value)) for name, value in text.items()} | numbers

    @classmethod
    def from_marks(cls, marks: Mapping[str, Any]) -> Self:
        """The inverse of ``marks``. Raises KeyError, TypeError."""
        return cls(
            job=os.fsdecode(marks["job"]),
            root=bytes(marks["root"]),
            target=os.fsdecode(marks["target"]),
            host=os.fsdecode(marks["host"]),
            run=int(marks["run"]),
            rank=int(marks["rank"]),
            segment=int(marks["segment"]),
        )


class _Sink(io.FileIO):
    """The file beneath HDF5 when it writes.

    HDF5 never lets go of a file that it could not write to, so it does not get to know: the first failure is kept in
    ``error``, and writes after it go nowhere.
    """

    error: OSError | None = None

    def write(self, data: Buffer) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell() if size is None else size


def open_hdf5(file: Path | io.FileIO, mode: str) -> h5py.File:
    """The one place that knows how we open HDF5.

    No locks: they fail on many parallel file systems, and the job's lock already keeps a second writer out. Format
    bounds of HDF5 1.10: readable everywhere, and the metadata carry checksums. No chunk cache: a chunk is read once,
    and decoded blocks are cached by ``Checkpoint``.
    """
    return h5py.File(file, mode, libver=("v110", "v110"), locking=False, rdcc_nbytes=0)


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Tells a damaged file (DamagedTable) from one that the system cannot read (OSError with its errno)."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedTable(path, str(error)) from error
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise DamagedTable(path, str(error)) from error


class TableReader:
    """A table opened for reading. Raises DamagedTable, MpingestError for a newer format, OSError.

    attributes:  where it comes from
    program:     the version of mpingest that wrote it
    version:     of the format
    blocks:      ``BLOCK_DTYPE``, shape (k,)
    first_keys:  key of the first directory of each block, length k
    block_directories: of a block, by its index: keys and ``DIRECTORY_DTYPE`` of its directories; a fraction of what
                       ``block`` costs
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.block_directories = lru_cache(1)(self._read_directories)
        with _damage(path):
            self._file = open_hdf5(path, "r")
            try:
                self._check_format(self._file.attrs)
                self._read_index(self._file.attrs)
            except BaseException:
                self._file.close()
                raise

    def _check_format(self, marks: Mapping[str, Any]) -> None:
        if marks.get("format") != FORMAT:
            raise DamagedTable(self.path, "it has no format mark")
        if marks["version"] > VERSION:
            raise MpingestError(
                f"{self.path} has format version {marks['version']}, this mpingest knows up to {VERSION}: "
                f"it was written by mpingest {marks['program'].decode()}"
            )

    def _read_index(self, marks: Mapping[str, Any]) -> None:
        self.attributes = JobAttributes.from_marks(marks)
        self.program = os.fsdecode(marks["program"])
        self.version = int(marks["version"])
        self.entries = int(marks["entries"])
        self.directories = int(marks["directories"])
        self.blocks = _as_blocks(self._file["blocks"][()])
        self.first_keys = _split(_keys(self._file["first_paths"][()]), self.blocks["first_path_bytes"])
        self._columns = [self._file[name] for name in LIMITS.columns()]
        if self.entries != self.blocks["rows"].sum():
            raise DamagedTable(self.path, "its blocks do not sum to its entries")

    def block(self, index: int) -> Block:
        """Block ``index``, decoded."""
        counts = self.blocks[index]
        with _damage(self.path):
            entries, results, name_bytes, names, directories, path_bytes, paths = (
                column[index] for column in self._columns
            )
        rows, count = int(counts["rows"]), int(counts["directories"])
        offsets = np.zeros(rows + 1, np.uint32)
        np.cumsum(name_bytes[:rows], out=offsets[1:])
        whole = (
            offsets[-1] == counts["name_bytes"]
            and path_bytes[:count].sum() == counts["path_bytes"]
            and directories["rows"][:count].sum() == rows
        )
        if not whole:
            raise DamagedTable(self.path, f"the counts of block {index} do not fit")
        return Block(
            _split(_keys(paths[: counts["path_bytes"]]), path_bytes[:count]),
            directories[:count],
            EntryBatch(names[: offsets[-1]].tobytes(), offsets, entries[:rows]),
            results[:rows],
        )

    def _read_directories(self, index: int) -> tuple[list[bytes], npt.NDArray[np.void]]:
        count = int(self.blocks["directories"][index])
        with _damage(self.path):
            directories, path_bytes, paths = (
                self._file[name][index] for name in ("directories", "path_bytes", "paths")
            )
        return _split(_keys(paths[: self.blocks["path_bytes"][index]]), path_bytes[:count]), directories[:count]

    def is_half_full(self, index: int) -> bool:
        """Whether block ``index`` is at least half full in one way or the other."""
        counts = self.blocks[["rows", "name_bytes", "directories", "path_bytes"]][index]
        return LIMITS.are_half_used(*counts.tolist())

    def chunks(self, index: int) -> list[tuple[int, bytes]]:
        """The columns of block ``index`` as they are stored, each with the mask of filters that were not applied."""
        with _damage(self.path):
            chunks = [column.id.read_direct_chunk((index, 0)) for column in self._columns]
        if any(_fletcher32(chunk[:-_CHECKSUM]) != chunk[-_CHECKSUM:] for _, chunk in chunks):
            raise DamagedTable(self.path, f"the checksum of block {index} does not fit")
        return chunks

    def blocks_between(self, first: bytes, stop: bytes | None) -> range:
        """The blocks that may hold a directory with ``first <= key < stop``; None: to the end."""
        begin = max(0, bisect_left(self.first_keys, first) - 1)
        return range(begin, len(self.blocks) if stop is None else bisect_left(self.first_keys, stop))

    def close(self) -> None:
        """Closes the file; decoded blocks stay valid."""
        self._file.close()


class TableWriter:
    """Writes a table under a temporary name and puts it in place, whole and durable, when its context ends well.

    durable: False for a table that nobody needs after a crash

    Blocks are appended in order; a directory may go on from one to the next. Memory: about three blocks, and the index
    (some 100 bytes a block). Raises OSError; then, and on any other exception, the file at ``path`` stays as it was.
    """

    def __init__(self, path: Path, attributes: JobAttributes, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        self._temporary = path.with_name(path.name + ".tmp")
        self._attributes = attributes
        self._limits = LIMITS
        self._pending: list[Block] = []
        self._counts: list[bytes] = []
        self._first_paths: list[bytes] = []
        self._last_key: bytes | None = None
        self.last_directory: tuple[bytes, int] | None = None
        """Key and DirectoryState of the last directory so far, as they stand or will stand in the table."""
        self.entries = 0
        self.directories = 0

    def __enter__(self) -> Self:
        self._sink = _Sink(self._temporary, "w+")
        self._file = open_hdf5(self._sink, "w")
        self._columns = [
            self._file.create_dataset(name, (0, size), dtype, maxshape=(None, size), chunks=(1, size), **_FILTERS)
            for name, (dtype, size) in self._limits.columns().items()
        ]
        return self

    @property
    def is_short(self) -> bool:
        """Whether what is not written yet would make a block that is less than half full."""
        return bool(self._pending) and not _are_half(self._pending, self._limits)

    def append(self, block: Block) -> None:
        """Adds what follows in the order of the table."""
        if block.keys and block.keys[0] == self._last_key and not self._pending and not block.directories["rows"][0]:
            block = block.part(
                (1, len(block.keys)), (0, len(block.entries))
            )  # it stands there, and has no more entries
        if not block.keys:
            return
        if self.last_directory is None or block.keys != [self.last_directory[0]]:
            self.last_directory = block.keys[-1], int(block.directories["state"][-1])
        self._pending.append(block)
        if sum(map(_size, self._pending)) >= 2 * self._limits.rows:
            self._flush(complete=False)

    def copy(self, table: TableReader, index: int) -> None:
        """Adds a block of another table as it is stored."""
        self._flush(complete=True)
        for column, (mask, chunk) in zip(self._columns, table.chunks(index), strict=True):
            column.resize(len(self._counts) + 1, axis=0)
            column.id.write_direct_chunk((len(self._counts), 0), chunk, mask)
        self._raise_failure()
        keys, directories = table.block_directories(index)
        self.last_directory = keys[-1], int(directories["state"][-1])
        self._note(table.blocks[index], keys)

    def _flush(self, *, complete: bool) -> None:
        """Writes full blocks, but for the last ones; with ``complete``, all.

        Else something always remains, so that a directory which goes on is joined to its beginning, and its state.
        The last two blocks share evenly what they hold, as in a B-tree (Bayer and McCreight, Acta Informatica 1972):
        so blocks stay at least half full, and worth copying, however often a little is added.
        """
        rest = Block.join(self._pending)
        while rest.keys:
            block, after = _split_full(rest, self._limits)
            if not complete and _size(after) < self._limits.rows:
                break
            if after.keys and complete and not _are_half([after], self._limits):
                block, after = _split_evenly(rest, block)
            self._write(block)
            rest = after
        self._pending = [rest] if rest.keys else []

    def _write(self, block: Block) -> None:
        index = len(self._counts)
        paths = [directory_path(key) for key in block.keys]
        values: list[npt.NDArray[Any]] = [
            block.entries.rows,
            block.results,
            np.diff(block.entries.offsets),
            np.frombuffer(block.entries.blob, np.uint8),
            block.directories,
            np.array([len(path) for path in paths]),
            np.frombuffer(b"".join(paths), np.uint8),
        ]
        for column, (dtype, size), value in zip(self._columns, self._limits.columns().values(), values, strict=True):
            chunk = np.zeros(size, dtype)
            chunk[: len(value)] = value
            column.resize(index + 1, axis=0)
            column.id.write_direct_chunk((index, 0), _filtered(chunk))
        self._raise_failure()
        self._count(block, paths)

    def _count(self, block: Block, paths: list[bytes]) -> None:
        outcomes = np.bincount(block.results["outcome"], minlength=len(Outcome))
        sizes = (len(block.entries.blob), sum(map(len, paths)), len(paths[0]))
        counts = (len(block.entries), len(paths), *sizes, outcomes)
        self._note(np.array([counts], BLOCK_DTYPE)[0], block.keys)

    def _note(self, counts: np.void, keys: list[bytes]) -> None:
        """Adds a block to the index. counts: ``BLOCK_DTYPE``."""
        self._counts.append(counts.tobytes())
        self._first_paths.append(directory_path(keys[0]))
        self.entries += int(counts["rows"])
        self.directories += len(keys) - (keys[0] == self._last_key)
        self._last_key = keys[-1]

    def _finish(self) -> None:
        self._flush(complete=True)
        blocks = np.frombuffer(b"".join(self._counts), BLOCK_DTYPE)
        first_paths = np.frombuffer(b"".join(self._first_paths), np.uint8)
        for name, values in (("blocks", blocks), ("first_paths", first_paths)):
            self._file.create_dataset(name, data=values, maxshape=(None,), chunks=(1024,), **_FILTERS)
        totals = {"entries": self.entries, "directories": self.directories}
        program = np.bytes_(mpingest.__version__)
        marks = {"format": np.bytes_(FORMAT), "version": VERSION, "program": program, **self._attributes.marks()}
        self._file.attrs.update(marks | totals)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._temporary.unlink, missing_ok=True)
            stack.enter_context(self._sink)
            try:
                with self._file:
                    if kind is None:
                        self._finish()
            finally:
                self._raise_failure()  # whatever HDF5 made of it
            if kind is None:
                self._publish()

    def _publish(self) -> None:
        """Makes the file durable, then visible under its name, then its name durable."""
        if not self._durable:
            self._temporary.replace(self._path)
            return
        os.fsync(self._sink.fileno())
        self._temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _raise_failure(self) -> None:
        if self._sink.error is not None:
            raise self._sink.error


def _as_blocks(stored: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """The counts of blocks as ``BLOCK_DTYPE``; where the format knew fewer outcomes, there are none of the others."""
    blocks = np.zeros(len(stored), BLOCK_DTYPE)
    for name in BLOCK_DTYPE.names or ():
        if name != "outcomes":
            blocks[name] = stored[name]
    known = stored["outcomes"].shape[1]
    blocks["outcomes"][:, :known] = stored["outcomes"]
    return blocks


def _size(block: Block) -> int:
    return len(block.entries) + len(block.keys)


def _are_half(blocks: Sequence[Block], limits: BlockLimits) -> bool:
    """Whether they would make a block on disk that is at least half full."""
    return limits.are_half_used(
        sum(len(block.entries) for block in blocks),
        sum(len(block.entries.blob) for block in blocks),
        sum(len(block.keys) for block in blocks),
        sum(len(key) for block in blocks for key in block.keys),
    )


def _split_evenly(rest: Block, full: Block) -> tuple[Block, Block]:
    """Halves of what is left, of which the first must not hold more than ``full``, what fits into one block."""
    half = min(max(2, _size(rest) // 2), _size(full))
    bounds = rest.bounds()
    directories = int(np.searchsorted(bounds + np.arange(len(bounds)), half, "left"))
    row = half - directories
    if row == bounds[directories - 1] < bounds[directories]:
        directories -= 1  # it would stand in the first half without an entry
    return rest.split(directories, row)


def _split_full(block: Block, limits: BlockLimits) -> tuple[Block, Block]:
    """What fits into one block on disk, and the rest."""
    bounds = block.bounds()
    paths = np.cumsum([len(key) for key in block.keys])
    directories = min(limits.directories, int(np.searchsorted(paths, limits.path_bytes, "right")))
    names = int(np.searchsorted(block.entries.offsets, limits.name_bytes, "right")) - 1
    row = min(limits.rows, names, int(bounds[directories]))
    if row < bounds[directories]:
        directories = int(np.searchsorted(bounds, row, "left"))
    return block.split(directories, row)


def _filtered(chunk: npt.NDArray[Any]) -> bytes:
    """A chunk as the filters of the datasets leave it: shuffled, deflated, with its checksum.

    HDF5 would do the same, but with the interpreter's lock held, for as long as a scan takes.
    """
    shuffled = chunk.view(np.uint8).reshape(len(chunk), chunk.itemsize).T.tobytes()
    data = zlib.compress(shuffled, _LEVEL)
    return data + _fletcher32(data)


def _fletcher32(data: bytes) -> bytes:
    """Fletcher's checksum of 16-bit words (J. Fletcher, IEEE Trans. Comm. 1982) as HDF5 stores it."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.int64)
    sums = int(words.sum()), int(words @ np.arange(len(words), 0, -1))
    first, second = ((total - 1) % 0xFFFF + 1 if total else 0 for total in sums)  # a sum that is no zero never gets one
    return (second << 16 | first).to_bytes(_CHECKSUM, "little")


def _keys(paths: npt.NDArray[np.uint8]) -> bytes:
    """Joined directory keys from joined paths."""
    return paths.tobytes().replace(b"/", b"\0")


def _split(blob: bytes, sizes: npt.NDArray[np.uint32]) -> list[bytes]:
    bounds = [0, *np.cumsum(sizes).tolist()]
    return [blob[a:b] for a, b in pairwise(bounds)]
