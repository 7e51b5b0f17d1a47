"""The catalog in SQLite: tables, transactions, and what is known of users, resources, collections, objects.

Functions here take the ``Database`` inside a transaction (or a read) and speak of rows only; what a request may do
is decided in ``zone.api``.
"""
