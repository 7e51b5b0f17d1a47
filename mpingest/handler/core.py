"""The base class of users' event handlers."""

from __future__ import annotations


class Core:
    """Derive ``event_handler`` from this class and define the methods you need, as static methods.

    ======================================  ==========================================  ================================
    method                                  called with                                 for
    ======================================  ==========================================  ================================
    operation                               (session, meta, **options)                  every entry: an ``Operation``
    to_resource                             (session, meta, **options)                  the resource to write to
    target_path                             (session, meta, **options)                  the path as the server sees it
    as_user                                 (meta, **options)                           (zone, user) whose object it is
    delete_mode                             (meta)                                      what is gone: a ``DeleteMode``
    character_map                           ()                                          characters to replace in names
    max_retries                             (cls, logger, meta)                         tries after the first
    delay                                   (cls, logger, meta, retries)                seconds before a further try
    timeout                                 (cls, logger, meta)                         seconds for an entry, 0 for any
    pre_job, post_job                       (cls, logger, meta)                         once a run, on one rank
    pre_/post_data_obj_create, …_modify     (module, logger, session, meta[, op], …)    around an object's requests
    pre_/post_coll_create, …_modify         (module, logger, session, meta, **options)  around a collection's requests
    pre_/post_data_obj_delete, …_coll_…     (module, session, meta, **options)          around a deletion
    metadata                                (meta)                                      [(attribute, value[, units])]
    acl                                     (meta)                                      [(permission, user)]
    collection_for                          (meta)                                      the collection of a file
    ======================================  ==========================================  ================================

    All but the last three are those of the iRODS Automated Ingest Framework, whose scripts run as they are; ``logger``
    is always a logger. ``op`` is passed around what PUT, PUT_SYNC and PUT_APPEND send. ``meta`` is described in
    ``mpingest.handler.meta``. None always means the default. What raises, or answers what it may not, fails its entry;
    a method that fails for a directory fails what lies directly in it, and the next run tries that again.

    delete_mode: one that doesn't fit the operation (see ``mpingest.ingest.delete``) fails a directory before any work
    in it. The hooks of a deletion are called around what is there and does go. To know such things beforehand,
    pre_coll_create costs a query for each collection, and pre_coll_delete three.

    timeout: a Python call cannot be killed. An entry whose time is up fails, and others go on; a call that is stuck
    stays behind in its thread, and mpingest sends no further request for it. When 32 calls of a rank are stuck, entries
    fail without being tried.

    max_retries, delay: for whatever made an entry fail; while it waits, others go on. mpingest itself repeats requests
    that fail because the zone doesn't answer.

    pre_/post_data_obj_modify: also around the rename of an object whose file has another name since the last run
    (--detect-renames); ``meta["renamed_from"]`` tells it from other changes. What metadata() and acl() answer for the
    new name is given as to any object that exists. If the zone refuses the rename, the hooks of create follow. A file
    whose operation, user or resource is another under the new name is no rename. A directory that goes as a whole is
    asked about as such; pre_/post_coll_modify are called for it, and no hooks for what is below and has not changed.
    With collection_for() files go one by one, each to where it belongs by its new name.

    pre_job: if it fails, the run doesn't begin. post_job: finds the counts in ``meta["summary"]``; it is called after a
    run that has come to its end.

    metadata, acl: travel with a put of up to 32 MiB, else follow it. On an object that exists, other values of the same
    attributes are replaced, and everything else stays.

    collection_for: absolute, or relative to the target, never outside its zone. It is made where it is missing, as are
    its parents; directories get no collections of their own. A name that is taken there already by another file's
    object fails the entry.
    """
