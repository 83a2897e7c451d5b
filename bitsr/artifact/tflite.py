"""What running needs to know of a .tflite, read without the schema's classes: its metadata and its custom ops.

The generated classes of the schema cost a third of a second and 50 MB to import; these few fields do not need them.
Slots are those of TensorFlow Lite's schema, version 3.
"""

from collections.abc import Callable
from typing import TypeVar

from bitsr.common.errors import ArtifactError

# Name of our metadata entry.
METADATA = "bitsr"
IDENTIFIER = b"TFL3"
_MODEL_OPERATOR_CODES, _MODEL_BUFFERS, _MODEL_METADATA = 6, 12, 16
_METADATA_NAME, _METADATA_BUFFER = 4, 6
_BUFFER_DATA = 4
_CODE_CUSTOM = 6
Result = TypeVar("Result")


def read_metadata(content: bytes, *, name: str) -> bytes | None:
    """Our metadata, ``None`` if the file has none; ``name`` names the file in errors.

    Raises:
        ArtifactError: the file is no .tflite, or broken.
    """

    def read(model: _Table) -> bytes | None:
        for entry in model.tables(_MODEL_METADATA):
            if entry.text(_METADATA_NAME) == METADATA:
                return model.tables(_MODEL_BUFFERS)[entry.uint32(_METADATA_BUFFER)].data(_BUFFER_DATA)
        return None

    return _parsed(content, read, name=name)


def custom_ops(content: bytes, *, name: str) -> list[str]:
    """Names of the custom ops that the file uses; errors as :func:`read_metadata`."""

    def read(model: _Table) -> list[str]:
        return [text for code in model.tables(_MODEL_OPERATOR_CODES) if (text := code.text(_CODE_CUSTOM))]

    return _parsed(content, read, name=name)


class _Table:
    """A table of a flatbuffer, its fields by their slots; broken offsets raise whatever the reads raise."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position
        self._slots = position - int.from_bytes(self._bytes(position, 4), "little", signed=True)
        self._slots_end = self._slots + int.from_bytes(self._bytes(self._slots, 2), "little")

    def uint32(self, slot: int) -> int:
        """A number, 0 where it is absent."""
        place = self._field(slot)
        return self._uint32(place) if place else 0

    def text(self, slot: int) -> str:
        """A string, empty where it is absent."""
        return self.data(slot).decode()

    def data(self, slot: int) -> bytes:
        """A vector of bytes, empty where it is absent."""
        start, length = self._vector(slot)
        return self._bytes(start, length)

    def tables(self, slot: int) -> list["_Table"]:
        """A vector of tables, empty where it is absent."""
        start, length = self._vector(slot)
        if 4 * length > len(self._content):
            raise ValueError(f"a vector of {length} tables")
        places = range(start, start + 4 * length, 4)
        return [_Table(self._content, place + self._uint32(place)) for place in places]

    def _field(self, slot: int) -> int:
        if self._slots + slot + 2 > self._slots_end:
            return 0
        offset = int.from_bytes(self._bytes(self._slots + slot, 2), "little")
        return self._position + offset if offset else 0

    def _vector(self, slot: int) -> tuple[int, int]:
        place = self._field(slot)
        if not place:
            return 0, 0
        start = place + self._uint32(place)
        return start + 4, self._uint32(start)

    def _uint32(self, place: int) -> int:
        return int.from_bytes(self._bytes(place, 4), "little")

    def _bytes(self, start: int, length: int) -> bytes:
        if start < 0 or start + length > len(self._content):
            raise ValueError(f"{length} bytes at {start} of {len(self._content)}")
        return self._content[start : start + length]


def _parsed(content: bytes, read: Callable[[_Table], Result], *, name: str) -> Result:
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise ArtifactError(
            f"{name} is no .tflite: expected the identifier {IDENTIFIER.decode()}, got {content[4:8]!r}; "
            "export the model again"
        )
    try:
        return read(_Table(content, int.from_bytes(content[:4], "little")))
    except (ValueError, IndexError) as error:  # a broken offset, or text that is no UTF-8
        raise ArtifactError(f"{name} is corrupt or truncated ({error}); export the model again") from error
