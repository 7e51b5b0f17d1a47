"""Put files with the metadata that lies beside them: ``scan.tif`` has it in ``scan.tif.json``.

The sidecar holds one JSON object; each of its members becomes an attribute of the data object. Sidecars themselves
are put as well. A sidecar that isn't JSON fails its file, and the next run tries it again.

Use:    mpingest start --event-handler metadata_from_sidecar.py /data/microscope /tempZone/home/lab/microscope
Note:   a sidecar that changes later is seen when its file changes, too: touch the file.
"""

import json

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

SUFFIX = ".json"


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def metadata(meta):
        try:
            with open(meta["path"] + SUFFIX, encoding="utf-8") as sidecar:
                content = json.load(sidecar)
        except FileNotFoundError:
            return []
        return [(name, text(value)) for name, value in content.items() if value not in (None, "")]


def text(value):
    return value if isinstance(value, str) else json.dumps(value)
