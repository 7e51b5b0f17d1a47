"""Register files in place where the iRODS server mounts the file system under another path than the compute nodes.

Use:    mpingest start --event-handler register_mounted.py /lustre/project /tempZone/home/project
Change: the two prefixes, and the resource whose vault host sees the files.
"""

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

AS_SCANNED = "/lustre/project/"
AS_THE_SERVER_SEES_IT = "/mnt/lustre/project/"
RESOURCE = "lustreResc"


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC

    @staticmethod
    def to_resource(session, meta, **options):
        return RESOURCE

    @staticmethod
    def target_path(session, meta, **options):
        return AS_THE_SERVER_SEES_IT + meta["path"].removeprefix(AS_SCANNED)
