"""What a handler can ask for. Names and values are those of the iRODS Automated Ingest Framework."""

from __future__ import annotations

from enum import Enum


class Operation(Enum):
    """What to do about an entry. What is sent for its object, and the pair of hooks around that, by its change:

    ======================== =============== ================ ============= ========= =============== =================
    operation                new             modified         metadata-only unchanged retry           deleted
    ======================== =============== ================ ============= ========= =============== =================
    REGISTER_SYNC            register/create update/modify    -/modify      -         register/create unregister/delete
    REGISTER_AS_REPLICA_SYNC register/create update/modify    -/modify      -         register/create unregister/delete
    PUT                      put/create      -                -/modify      -         put/create      -
    PUT_SYNC                 put/create      overwrite/modify -/modify      -         put/create      unlink/delete
    PUT_APPEND               put/create      append/modify    -/modify      -         put/create      unlink/delete
    NO_OP                    -/create        -/modify         -/modify      -         -/create        -
    ======================== =============== ================ ============= ========= =============== =================

    The change is that of the file since the job last brought it in. metadata-only: only ctime, mode or owner differ;
    metadata() and acl() are asked again then. retry: it failed the last time, when it was new; if it failed as
    modified or metadata-only, the object is looked at, made what it should be, and the hooks are those for modify.
    deleted: it is gone, and its ``DeleteMode`` wants its object gone too.

    register, put: where an object turns out to be there already, it is adopted if it is what it should be; else
    REGISTER_SYNC updates the replica with the same physical path, or with one below the root where no file is any
    more (fails where there is none),
    REGISTER_AS_REPLICA_SYNC registers one more replica, PUT keeps an object that is good, PUT_SYNC and PUT_APPEND
    overwrite it. What a first run finds in the collection it knows before it asks, and calls the hooks for modify.
    What PUT leaves alone stays recorded as it was, so that PUT_SYNC takes it, should the job go on with that.
    update: size and mtime of the one replica meant. append: the new end alone, where file and object are else what
    they were; otherwise all of it. unlink: into the trash or not. How many requests each takes: see
    ``mpingest.ingest.costs``.
    """

    REGISTER_SYNC = 0
    REGISTER_AS_REPLICA_SYNC = 1
    PUT = 2
    PUT_SYNC = 3
    PUT_APPEND = 4
    NO_OP = 5

    @property
    def sends_content(self) -> bool:
        """Whether the bytes of a file travel (and not only its name and size)."""
        return self in (Operation.PUT, Operation.PUT_SYNC, Operation.PUT_APPEND)


class DeleteMode(Enum):
    """What to do about an object whose file is gone."""

    DO_NOT_DELETE = 0
    UNREGISTER = 1
    TRASH = 2
    NO_TRASH = 3
