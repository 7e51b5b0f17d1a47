"""A rank's share of the work, counted as it goes and compared with everyone else's at the end."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class Share:
    """What one rank did. A root counts as created on the coordinator."""

    units_created: int = 0
    units_finished: int = 0
    units_dropped: int = 0
    """Not run because of a stop."""
    weight_finished: int = 0
    """Entries of finished slices, plus finished subtrees."""
    units_stolen: int = 0
    """Units that came from another worker."""
    steals: int = 0
    """Messages from another worker that brought such units."""
    messages_sent: int = 0
    messages_received: int = 0

    def row(self) -> npt.NDArray[np.int64]:
        """The fields in order, shape (8,)."""
        return np.array(astuple(self), np.int64)


SHARE_DTYPE = np.dtype([(field.name, np.int64) for field in fields(Share)])
"""One ``Share``."""
