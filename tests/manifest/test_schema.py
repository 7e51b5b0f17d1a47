"""The documented file format: what is written is what is documented, and a reader needs nothing but h5py."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpingest.manifest import table
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.entries import ENTRY_DTYPE
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, batch, record, row, segment

ROW = re.compile(r"(/\w+|\.\w+|\w+) +(\([\w, ]+\))? *([<|]\w\d?)? +(\S.*)")


def documented(title: str) -> Iterator[tuple[str, str, str, str]]:
    """The rows of one of the docstring's tables: name, shape, dtype, meaning."""
    assert table.__doc__ is not None
    rows = re.split(r"(?m)^[= ]+\n", table.__doc__.partition("\n" + title)[2])[1]
    for line in re.sub(r"\n {2,}", " ", rows).splitlines():  # a row may go on in the next line
        found = ROW.fullmatch(line)
        assert found, line
        yield found[1], found[2] or "", found[3] or "", found[4]


def spelled(dtype: np.dtype) -> str:
    """A dtype as documented; the size of a string is that of its content."""
    return "|S" if dtype.kind == "S" else dtype.str


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    output = tmp_path / "checkpoint.h5"
    merge(None, [segment(tmp_path, {b"": batch({b"a": row()}), b"d": batch({})})], output, ATTRIBUTES)
    with h5py.File(output) as file:
        yield file


def test_the_datasets_are_those_that_are_documented(file: h5py.File) -> None:
    found: dict[str, tuple[str, str]] = {}
    for name, dataset in file.items():
        shape = "(n,)" if name == "first_paths" else str(dataset.shape).replace("(1,", "(k,", 1)
        fields = dataset.dtype.fields
        found[f"/{name}"] = (shape, "" if fields else spelled(dataset.dtype))
        for field, (dtype, *_) in (fields or {}).items():
            found[f"/{name}.{field}"] = (str(dtype.shape or ""), spelled(dtype.base))
    expected: dict[str, tuple[str, str]] = {}
    dataset_name = ""
    for name, shape, dtype, _ in documented("dataset and field"):
        dataset_name = name if name.startswith("/") else dataset_name
        expected[name if name == dataset_name else dataset_name + name] = (shape, dtype)
    assert found == expected


def test_the_attributes_are_those_that_are_documented(file: h5py.File) -> None:
    found = {name: spelled(np.asarray(value).dtype) for name, value in file.attrs.items()}
    assert found == {name: dtype for name, _, dtype, _ in documented("attribute")}


@pytest.mark.parametrize(("field", "states"), [(".outcome", Outcome), (".change", Change), (".state", DirectoryState)])
def test_the_numbers_are_those_that_are_documented(field: str, states: type[IntEnum]) -> None:
    (meaning,) = [meaning for name, _, _, meaning in documented("dataset and field") if name == field]
    assert meaning.startswith(", ".join(f"{state} {state.name.lower()}" for state in states))
    assert f"``{states.__name__}``" in meaning


def read_by_the_rules(path: Path) -> tuple[dict[bytes, int], dict[tuple[bytes, bytes], tuple[int, ...]]]:
    """Directory states and rows, by the documentation alone."""
    states: dict[bytes, int] = {}
    rows: dict[tuple[bytes, bytes], tuple[int, ...]] = {}
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"mpingest table"
        assert file.attrs["version"] == 2
        first = 0
        for index, counts in enumerate(file["blocks"][()]):
            names = file["names"][index, : counts["name_bytes"]].tobytes()
            paths = file["paths"][index, : counts["path_bytes"]].tobytes()
            entries = file["entries"][index, : counts["rows"]]
            results = file["results"][index, : counts["rows"]]
            name_bytes = file["name_bytes"][index, : counts["rows"]]
            directories = file["directories"][index, : counts["directories"]]
            sizes = file["path_bytes"][index, : counts["directories"]]
            last = first + int(counts["first_path_bytes"])
            assert file["first_paths"][first:last].tobytes() == paths[: sizes[0]]
            assert np.bincount(results["outcome"], minlength=7).tolist() == counts["outcomes"].tolist()
            first, at, name_at = last, 0, 0
            for directory, size in zip(directories, sizes, strict=True):
                path, paths = paths[:size], paths[size:]
                states.setdefault(path, int(directory["state"]))
                for number in range(at, at + directory["rows"]):
                    name = names[name_at : name_at + name_bytes[number]]
                    rows[path, name] = (*entries[number].tolist(), *results[number].tolist())
                    name_at += len(name)
                at += directory["rows"]
        assert (file.attrs["entries"], file.attrs["directories"]) == (len(rows), len(states))
    return states, rows


@pytest.mark.usefixtures("tiny_blocks")
def test_a_reader_needs_nothing_but_h5py(tmp_path: Path) -> None:
    """Directories that span blocks, empty ones, names of any bytes: each row comes back, in the documented order."""
    generator = np.random.default_rng(1)
    names = [bytes(generator.integers(1, 47, 3, np.uint8)) for _ in range(20)]
    tree = {
        b"": {b"d": row(mode=DIRECTORY), b"d.txt": row(1), b"\xff\n": row(2, uid=1, gid=2, inode=1 << 63)},
        b"d": {name: row(number, mtime_ns=-number) for number, name in enumerate(names)},
        b"d.x": {},
        b"d/below": {b"x" * 255: row(stat.S_IFREG, nlink=3, ctime_ns=1)},
    }
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    expected: dict[tuple[bytes, bytes], tuple[int, ...]] = {}
    for path, entries in tree.items():
        results = [(i % 4, i % 5, -i) for i in range(len(entries))]
        outcome, change, code = (np.array([each[i] for each in results], t) for i, t in enumerate(("u1", "u1", "<i4")))
        writer.record(path, batch(entries), change, outcome, code)
        writer.record_directory(path, DirectoryState(len(path) % 4))
        for (name, values), result in zip(entries.items(), results, strict=True):
            stored = np.array([values], ENTRY_DTYPE)[0].tolist()
            expected[path, name] = (*stored, *result)
    sealed = writer.seal()
    assert sealed is not None
    states, rows = read_by_the_rules(sealed)
    assert states == {path: len(path) % 4 for path in tree}
    assert rows == expected
    assert list(rows) == sorted(rows, key=lambda place: (place[0].replace(b"/", b"\0"), place[1]))


def test_version_1_which_knew_one_outcome_less_is_read_and_merged(tmp_path: Path) -> None:
    older, newer = tmp_path / "older.h5", tmp_path / "newer.h5"
    merge(None, [segment(tmp_path, {b"": batch({b"a": row()}), b"d": batch({b"b": row()})})], older, ATTRIBUTES)
    with h5py.File(older, "r+") as file:
        blocks = file["blocks"][()]
        fields = [(name, (base, (6,)) if name == "outcomes" else base) for name, base in _bases(blocks.dtype)]
        counts = np.zeros(len(blocks), np.dtype(fields))
        for name in blocks.dtype.names:
            counts[name] = blocks[name][:, :6] if name == "outcomes" else blocks[name]
        del file["blocks"]
        file.create_dataset("blocks", data=counts, maxshape=(None,), chunks=(1024,))
        file.attrs["version"] = 1
    writer = SegmentWriter(tmp_path / "later", 0, ATTRIBUTES)
    (tmp_path / "later").mkdir()
    record(writer, b"d", batch({b"b": row()}), Outcome.RELEASED)
    sealed = writer.seal()
    assert sealed is not None
    merge(older, [sealed], newer, ATTRIBUTES)
    with Checkpoint.open(older) as before, Checkpoint.open(newer) as after:
        assert (before.version, after.version) == (1, table.VERSION)
        assert before.summary().outcomes[Outcome.RELEASED] == 0
        outcomes = after.summary().outcomes
    assert (outcomes[Outcome.DONE], outcomes[Outcome.RELEASED]) == (1, 1)


def _bases(dtype: np.dtype) -> list[tuple[str, np.dtype]]:
    return [(name, dtype[name].base) for name in dtype.names or ()]
