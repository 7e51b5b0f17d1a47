"""The base class of users' event handlers."""

from __future__ import annotations


class Core:
    """Derive ``event_handler`` from this class and define the methods you need, as static methods.

    ===============================================  =====================================================
    method                                           called with
    ===============================================  =====================================================
    operation, to_resource, target_path              (session, meta, **options)
    pre_/post_data_obj_create, …_modify              (hdlr_mod, logger, session, meta[, op], **options)
    pre_/post_coll_create                            (hdlr_mod, logger, session, meta, **options)
    ===============================================  =====================================================

    ``op`` is passed for PUT, PUT_SYNC and PUT_APPEND. ``meta`` is described in ``mpingest.handler.meta``.
    """
