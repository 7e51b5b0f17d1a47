"""Put files into collections by the day they were written: ``2026/11/24/name`` below the target.

Directories on disk play no part, and get no collections. A file that is written again on another day would be
that day's, too: so a day in its name counts first.

Use:    mpingest start --event-handler collections_by_date.py /data/telescope /tempZone/home/lab/nights
Change: the pattern. Names must not occur twice on a day.
"""

import os
import re
from datetime import UTC, datetime

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

DAY_IN_NAME = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def collection_for(meta):
        if match := DAY_IN_NAME.search(os.path.basename(meta["path"])):
            return "/".join(match.groups())
        return datetime.fromtimestamp(meta["mtime"], UTC).strftime("%Y/%m/%d")
