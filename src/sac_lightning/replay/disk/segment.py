"""One immutable file of transitions.

The file is a plain safetensors file: eight bytes of header length, a JSON header, then the raw rows of
each field of a Ring. It is written from the ring and read into it in pieces, so neither needs a second
copy of the rows in memory.
"""

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypedDict

import torch
from torch import Tensor

from sac_lightning.core.files import DamagedFile, write_atomically
from sac_lightning.replay.buffer import Ring

VERSION = 3
NAME = re.compile(r"segment-\d+-\d+-[0-9a-f]+\.safetensors")
SCRATCH = 1 << 20  # bytes read at a time

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Segment(TypedDict):
    """What a checkpoint keeps of a segment: transitions `first` … `end - 1` lie in `file`."""

    file: str
    first: int
    end: int
    bytes: int
    checksum: str


class Field(NamedTuple):
    """How one field of a Ring lies in a segment."""

    name: str
    dtype: str
    row_shape: tuple[int, ...]
    row_bytes: int


def write_segment(directory: Path, store: Ring, first: int, end: int) -> Segment:
    """Write transitions `first` … `end - 1` of the ring `store`, whole or not at all.

    The name holds a checksum of the content, so two runs that leave the same checkpoint in different
    directions never write the same name.
    """
    fields = layout(store)
    digest = blake2b(header(fields, first, end, checksum=""), digest_size=16)
    for piece in _pieces(store, first, end):
        digest.update(piece)
    checksum = digest.hexdigest()
    head = header(fields, first, end, checksum)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(head)
            for piece in _pieces(store, first, end):
                file.write(piece)

    name = f"segment-{first:012d}-{end:012d}-{checksum[:16]}.safetensors"
    write_atomically(directory / name, write)
    size = len(head) + (end - first) * sum(field.row_bytes for field in fields)
    return Segment(file=name, first=first, end=end, bytes=size, checksum=checksum)


def read_segment(directory: Path, segment: Segment, store: Ring, oldest: int) -> None:
    """Put the transitions of `segment` from number `oldest` on into their rows of the ring `store`.

    Raises DamagedFile unless every byte of the file is what was written; the rows are then undefined.
    """
    path = _existing(directory, segment)
    first, end = segment["first"], segment["end"]
    with path.open("rb") as file:
        fields = layout(store)
        digest = _begin(path, file, segment, fields)
        scratch = bytearray(max(SCRATCH, *(field.row_bytes for field in fields)))
        for field, ring in zip(fields, store, strict=True):
            rows_at_once = len(scratch) // field.row_bytes
            for start in range(first, end, rows_at_once):
                count = min(rows_at_once, end - start)
                piece = memoryview(scratch)[: count * field.row_bytes]
                file.readinto(piece)
                digest.update(piece)
                rows = torch.frombuffer(piece, dtype=ring.dtype).view(count, *field.row_shape)
                _put(ring, rows, start, oldest)
    _check_digest(path, segment, digest.hexdigest())


def check_segment(directory: Path, segment: Segment) -> None:
    """Raise DamagedFile unless every byte of the file is what was written; needs no ring."""
    path = _existing(directory, segment)
    with path.open("rb") as file:
        digest = _begin(path, file, segment, _written_layout(file))
        while piece := file.read(SCRATCH):
            digest.update(piece)
    _check_digest(path, segment, digest.hexdigest())


def layout(store: Ring) -> list[Field]:
    """The fields of `store` in the order of the file."""
    fields = []
    for name, ring in zip(store._fields, store, strict=True):
        row_bytes = ring.shape[1:].numel() * ring.element_size()
        fields.append(Field(name, DTYPES[ring.dtype], tuple(ring.shape[1:]), row_bytes))
    return fields


def header(fields: list[Field], first: int, end: int, checksum: str) -> bytes:
    """The only header that a sound file of these transitions can have, its length included."""
    numbers = {"version": VERSION, "first": first, "end": end}
    metadata = {"format": "sac_lightning.replay", **{k: str(v) for k, v in numbers.items()}}
    content: dict[str, Any] = {"__metadata__": {**metadata, "checksum": checksum}}
    offset = 0
    for field in fields:
        after = offset + (end - first) * field.row_bytes
        shape = [end - first, *field.row_shape]
        content[field.name] = {"dtype": field.dtype, "shape": shape, "data_offsets": [offset, after]}
        offset = after
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks for aligned tensors
    return len(text).to_bytes(8, "little") + text


def _pieces(store: Ring, first: int, end: int) -> Iterator[memoryview]:
    capacity = len(store.reward)
    start, count = first % capacity, end - first
    for ring in store:
        before_the_edge = ring[start : start + count]
        after_it = ring[: count - len(before_the_edge)]
        for rows in (before_the_edge, after_it):
            yield rows.cpu().reshape(-1).view(torch.uint8).numpy().data


def _put(ring: Tensor, rows: Tensor, number: int, oldest: int) -> None:
    rows = rows[max(oldest - number, 0) :]
    start = max(oldest, number) % len(ring)
    before_the_edge = min(len(rows), len(ring) - start)
    ring[start : start + before_the_edge] = rows[:before_the_edge]
    ring[: len(rows) - before_the_edge] = rows[before_the_edge:]


def _existing(directory: Path, segment: Segment) -> Path:
    path = directory / segment["file"]
    # The name comes from a checkpoint, which may come from anywhere.
    if not NAME.fullmatch(segment["file"]):
        raise DamagedFile(path, "is not the name of a segment of the replay journal")
    if not path.is_file():
        raise DamagedFile(path, "is missing, and the checkpoint needs it")
    return path


def _begin(path: Path, file: BinaryIO, segment: Segment, fields: list[Field]) -> "blake2b":
    """Check the header and the size; `file` then stands before the rows, whose bytes the digest awaits."""
    first, end = segment["first"], segment["end"]
    _check_header(path, file, header(fields, first, end, segment["checksum"]), fields)
    size = path.stat().st_size
    if size != segment["bytes"]:
        raise DamagedFile(path, f"is {size} bytes long, not {segment['bytes']}: truncated or overwritten")
    return blake2b(header(fields, first, end, checksum=""), digest_size=16)


def _check_digest(path: Path, segment: Segment, found: str) -> None:
    if found != segment["checksum"]:
        raise DamagedFile(path, "its content has changed since it was written (checksum)")


def _written_layout(file: BinaryIO) -> list[Field]:
    """The fields of the file's own header; none where it makes no sense."""
    text = file.read(min(int.from_bytes(file.read(8), "little"), SCRATCH))
    file.seek(0)
    try:
        entries = {name: entry for name, entry in json.loads(text).items() if name != "__metadata__"}
        return [
            Field(name, entry["dtype"], tuple(rows), (after - before) // count)
            for name, entry in entries.items()
            for (count, *rows), (before, after) in [(entry["shape"], entry["data_offsets"])]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return []


def _check_header(path: Path, file: BinaryIO, expected: bytes, fields: list[Field]) -> None:
    found = file.read(len(expected))
    if found == expected:
        return
    file.seek(8)
    text = file.read(min(int.from_bytes(found[:8], "little"), SCRATCH))
    try:
        content = json.loads(text)
        version = int(content["__metadata__"]["version"])
        kinds = {field.name: (content[field.name]["dtype"], content[field.name]["shape"]) for field in fields}
    except (ValueError, KeyError, TypeError):
        raise DamagedFile(path, "its header is damaged") from None
    if version != VERSION:
        raise DamagedFile(path, f"has format {version}; this version of sac_lightning reads format {VERSION}")
    for field in fields:
        dtype, shape = kinds[field.name]
        if (dtype, shape[1:]) != (field.dtype, list(field.row_shape)):
            raise DamagedFile(
                path,
                f"holds {field.name} rows of {dtype} {shape[1:]}; "
                f"this env's are {field.dtype} {list(field.row_shape)}",
            )
    raise DamagedFile(path, "its header is damaged, or another file has taken its name")
