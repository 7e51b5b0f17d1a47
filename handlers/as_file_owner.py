"""Register files in place as the users who own them on disk, so that their objects are theirs in iRODS, too.

The user who runs the job has to be rodsadmin and acts for the owners; they need write permission on the collections
(``ichmod -r inherit`` and ``ichmod -r write`` on the target). Directories become collections of the rodsadmin.

Use:    mpingest start --event-handler as_file_owner.py /lustre/home /tempZone/home/project
Change: the zone, and who is who where accounts differ from iRODS users.
"""

import os
import pwd

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

ZONE = "tempZone"
OTHER_NAMES = {"root": "rods"}  # account: iRODS user, where they differ


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC

    @staticmethod
    def as_user(meta, **options):
        if meta["entry_type"] == "dir":
            return None  # the user who runs the job
        account = pwd.getpwuid(os.lstat(meta["path"]).st_uid).pw_name
        return ZONE, OTHER_NAMES.get(account, account)
