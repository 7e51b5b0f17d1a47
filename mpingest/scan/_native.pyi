import numpy as np
import numpy.typing as npt

class NameReader:
    def __init__(self, fd: int, with_types: bool) -> None: ...
    def read(self, most: int) -> tuple[bytes, bytes, bytes]: ...
    def close(self) -> None: ...

class StatBatch:
    def __init__(
        self,
        fd: int,
        blob: bytes,
        offsets: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.void],
        errnos: npt.NDArray[np.int32],
        *,
        follow: bool,
    ) -> None: ...
    @property
    def left(self) -> int: ...
    @property
    def failed(self) -> int: ...
    def run(self, most: int, grain: int, nanoseconds: int) -> tuple[int, int]: ...
