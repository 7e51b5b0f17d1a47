"""GenQuery: columns, conditions and flags, made into one SQL statement with all values bound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.users import User
from mpingest.zone.columns import COLUMNS, LINKS, TABLES
from mpingest.zone.messages import QueryInput
from mpingest.zone.statuses import Status, ZoneError

NO_DISTINCT = 0x40
AUTO_CLOSE = 0x100
UPPER_CASE = 0x200
TOTAL_ROWS = 0x20

_AGGREGATES = {2: "min", 3: "max", 4: "sum", 5: "avg", 6: "count"}
_ASCENDING, _DESCENDING = 0x400, 0x800
_ALWAYS_ORDERED = (501, 403, 404)
_COMPARISON = re.compile(r"\s*(n)?(=|<>|!=|<=|>=|<|>|like|not like)\s*'(.*)'[^']*", re.DOTALL | re.IGNORECASE)
_IN = re.compile(r"\s*in\b", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*between\b", re.IGNORECASE)
_BEGIN_OF = re.compile(r"\s*begin_of\s*'(.*)'\s*", re.DOTALL)
_PARENT_OF = re.compile(r"\s*parent_of\s*'(.*)'\s*", re.DOTALL)
_NULL_TEST = re.compile(r"IS (NOT )?NULL")
_QUOTED = re.compile("'([^']*)'", re.DOTALL)
_OPERATOR_OR_QUOTED = re.compile(r"'[^']*'|\|\||&&", re.DOTALL)
_DATA_AVU_NAMES = {600: "data", 610: "coll"}

_VISIBLE = (
    "{column} IN (SELECT a.object_id FROM access a JOIN members m ON m.group_id = a.user_id"
    f" WHERE m.user_id = ? AND a.level >= {Level.READ_OBJECT.value} AND a.object_id = {{column}})"
)


@dataclass(frozen=True, slots=True)
class Select:
    """SQL and its values."""

    sql: str
    values: list[str | int]


def build(query: QueryInput, client: User) -> Select:
    """The statement of a query; who isn't an administrator sees what is readable to them. Raises ZoneError."""
    return _Builder(query, client).select()


class _Builder:
    def __init__(self, query: QueryInput, client: User) -> None:
        self._query = query
        self._client = client
        self._aliases: set[str] = set()
        self._where: list[str] = []
        self._values: list[str | int] = []
        self._extra_joins: list[str] = []

    def select(self) -> Select:
        if not self._query.select:
            raise ZoneError(Status.CAT_INVALID_ARGUMENT)
        selected = [self._selected(number, flags) for number, flags in self._query.select]
        self._add_conditions()
        joins = " ".join((self._joins(), *self._extra_joins))
        self._add_visibility()
        distinct = "" if self._query.options & NO_DISTINCT else "DISTINCT "
        sql = f"SELECT {distinct}{', '.join(selected)} FROM {joins}"
        if self._where:
            sql += f" WHERE {' AND '.join(self._where)}"
        sql += self._group_by() + self._order_by()
        if self._query.offset > 0:
            sql += " LIMIT -1 OFFSET ?"
            self._values.append(self._query.offset)
        return Select(sql, self._values)

    def _column(self, number: int) -> str:
        if number not in COLUMNS:
            raise ZoneError(Status.CAT_UNKNOWN_TABLE)
        alias, expression = COLUMNS[number]
        self._aliases.add(alias)
        return expression

    def _selected(self, number: int, flags: int) -> str:
        expression = self._column(number)
        aggregate = _AGGREGATES.get(flags & 0xF)
        return f"{aggregate}({expression})" if aggregate else expression

    def _add_conditions(self) -> None:
        seen: Counter[int] = Counter()
        for number, text in self._query.conditions:
            expression = self._column(number)
            seen[number] += 1
            if number in _DATA_AVU_NAMES and seen[number] > 1:
                expression = self._another_avu(_DATA_AVU_NAMES[number], number, seen[number])
            elif number - 1 in _DATA_AVU_NAMES and seen[number] > 1:
                expression = f"{_DATA_AVU_NAMES[number - 1]}_avu{seen[number]}.value"
            self._where.append(self._condition(expression, text))

    def _another_avu(self, table: str, number: int, count: int) -> str:
        """A second condition on an attribute's name is about a second attribute of the same object."""
        key = "data_id" if table == "data" else "coll_id"
        self._aliases.add(table)
        self._extra_joins.append(
            f"JOIN avu_map AS {table}_map{count} ON {table}_map{count}.object_id = {table}.{key}"
            f" JOIN avus AS {table}_avu{count} ON {table}_avu{count}.meta_id = {table}_map{count}.meta_id"
        )
        return f"{table}_avu{count}.name"

    def _condition(self, expression: str, text: str) -> str:
        parts, operators = _split_compound(text)
        tests = [self._test(expression, part) for part in parts]
        joined = tests[0] + "".join(f" {op} {test}" for op, test in zip(operators, tests[1:], strict=True))
        return f"({joined})"

    def _test(self, expression: str, text: str) -> str:
        if self._query.options & UPPER_CASE:
            expression = f"upper({expression})"
        if _NULL_TEST.fullmatch(text):
            return f"{expression} {text}"
        if _IN.match(text):
            return f"{expression} IN ({self._bound(_quoted(text))})"
        if _BETWEEN.match(text):
            low, high = _quoted(text, 2)
            self._values += [low, high]
            return f"{expression} BETWEEN ? AND ?"
        if match := _PARENT_OF.fullmatch(text):
            return f"{expression} IN ({self._bound(list(_ancestors(match[1])))})"
        if match := _BEGIN_OF.fullmatch(text):
            self._values.append(match[1])
            return f"({expression} = substr(?, 1, length({expression})) AND length({expression}) > 0)"
        return self._comparison(expression, text)

    def _comparison(self, expression: str, text: str) -> str:
        match = _COMPARISON.fullmatch(text)
        if match is None:
            raise ZoneError(Status.CAT_INVALID_ARGUMENT)
        numeric, operator, value = match[1], match[2].upper(), match[3]
        if numeric:
            expression = f"CAST({expression} AS INTEGER)"
        self._values.append(value)
        if operator.endswith("LIKE"):
            return rf"{expression} {operator} ? ESCAPE '\'"
        return f"{expression} {operator} {'CAST(? AS INTEGER)' if numeric else '?'}"

    def _bound(self, values: list[str]) -> str:
        self._values += values
        return ", ".join("?" * len(values))

    def _joins(self) -> str:
        return _joined_tables(self._aliases)

    def _add_visibility(self) -> None:
        if self._client.is_admin:
            return
        for alias, column in (("data", "data.data_id"), ("coll", "coll.coll_id")):
            if alias in self._aliases:
                self._where.append(_VISIBLE.format(column=column))
                self._values.append(self._client.user_id)

    def _group_by(self) -> str:
        aggregated = [flags & 0xF in _AGGREGATES for _, flags in self._query.select]
        plain = [COLUMNS[number][1] for number, flags in self._query.select if flags & 0xF not in _AGGREGATES]
        return f" GROUP BY {', '.join(plain)}" if any(aggregated) and plain else ""

    def _order_by(self) -> str:
        terms = [
            f"{self._selected(number, flags)} {'DESC' if flags & _DESCENDING else 'ASC'}"
            for number, flags in self._query.select
            if flags & (_ASCENDING | _DESCENDING)
        ]
        plain = {number for number, flags in self._query.select if flags & 0xF not in _AGGREGATES}
        terms += [COLUMNS[number][1] for number in _ALWAYS_ORDERED if number in plain]
        return f" ORDER BY {', '.join(terms)}" if terms else ""


def _split_compound(text: str) -> tuple[list[str], list[str]]:
    """Parts of a condition, and the operators between them; what stands in quotes is no operator."""
    parts, operators, start = [], [], 0
    for match in _OPERATOR_OR_QUOTED.finditer(text):
        if match[0] in {"||", "&&"}:
            parts.append(text[start : match.start()])
            operators.append("OR" if match[0] == "||" else "AND")
            start = match.end()
    return [*parts, text[start:]], operators


def _quoted(text: str, count: int | None = None) -> list[str]:
    values = _QUOTED.findall(text)
    if not values or count not in {None, len(values)}:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    return values


def _ancestors(path: str) -> Iterator[str]:
    yield path
    while path not in {"", "/"}:
        path = path.rpartition("/")[0] or "/"
        yield path


def _joined_tables(aliases: set[str]) -> str:
    """The FROM clause that holds these tables and those between them. Raises ZoneError where nothing joins them."""
    start, *others = sorted(aliases)
    needed: dict[str, str] = {}
    for other in others:
        way = _way(start, other)
        if way is None:
            raise ZoneError(Status.CAT_FAILED_TO_LINK_TABLES)
        needed |= way
    joins = "".join(f" JOIN {TABLES[alias]} AS {alias} ON {condition}" for alias, condition in needed.items())
    return f"{TABLES[start]} AS {start}{joins}"


def _way(start: str, end: str) -> dict[str, str] | None:
    """Tables on the way from one to another, without the first, each with the condition that joins it."""
    ways: dict[str, dict[str, str]] = {start: {}}
    frontier = [start]
    while frontier and end not in ways:
        here = frontier.pop(0)
        for one, two, condition in LINKS:
            there = two if one == here else one if two == here else None
            if there and there not in ways:
                ways[there] = ways[here] | {there: condition}
                frontier.append(there)
    return ways.get(end)
