"""GEN_QUERY: running a query, paging through it, closing it."""

from __future__ import annotations

from mpingest.zone import query
from mpingest.zone.messages import QueryInput, pack_rows
from mpingest.zone.session import Reply, Request, Session, Statement
from mpingest.zone.statuses import Status, ZoneError

_CLOSED = -1
"""Instead of a statement's number: there may be more rows, but not from here."""


def run(session: Session, request: Request) -> Reply:
    """A first page, or with a statement's number the next one, or with no rows wanted its end."""
    wanted = QueryInput.read(request.body)
    if wanted.statement and wanted.max_rows <= 0:
        session.statements.close(wanted.statement)
        return Reply(message=pack_rows([], [], 0, 0))
    if wanted.statement:
        return _page(session, wanted, session.statements.get(wanted.statement), wanted.statement)
    built = query.build(wanted, session.client)
    rows = session.zone.db.rows_of(built.sql, built.values)
    if not rows:
        raise ZoneError(Status.CAT_NO_ROWS_FOUND)
    statement = Statement([number for number, _ in wanted.select], rows)
    return _page(session, wanted, statement, 0)


def _page(session: Session, wanted: QueryInput, statement: Statement, number: int) -> Reply:
    """One page. A full one leaves the statement open, even where there are no more rows, as servers do."""
    page = statement.rows[statement.position : statement.position + max(wanted.max_rows, 0)]
    statement.position += len(page)
    total = len(statement.rows) + max(wanted.offset, 0) if wanted.options & query.TOTAL_ROWS else 0
    if len(page) < wanted.max_rows:
        session.statements.close(number)
        number = 0
    elif wanted.options & query.AUTO_CLOSE:
        session.statements.close(number)
        number = _CLOSED
    elif not number:
        number = session.statements.add(statement)
    if not page:
        raise ZoneError(Status.CAT_NO_ROWS_FOUND)
    texts = [["" if value is None else str(value) for value in row] for row in page]
    return Reply(message=pack_rows(statement.columns, texts, number, total))
