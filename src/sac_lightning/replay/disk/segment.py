"""One immutable file of transitions.

The file is a plain safetensors file: eight bytes of header length, a JSON header, then the raw rows of
each field of a Ring. It is written from the ring and read into it in pieces, so neither needs a second
copy of the rows in memory.
"""

import json
import re
from collections.abc import Iterator
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypedDict

import torch
from torch import Tensor

from sac_lightning.core.files import DamagedFile, write_atomically
from sac_lightning.replay.ring import Ring

VERSION = 4
NAME = re.compile(r"segment-\d+-\d+-[0-9a-f]+\.safetensors")
SCRATCH = 1 << 20  # bytes read at a time
CHANGED = "its content has changed since it was written (checksum)"
REPLACED = "its header is damaged, or another file has taken its name"

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
    """Describes a segment in a checkpoint: transitions `first` … `end - 1` lie in `file`."""

    file: str
    first: int
    end: int
    bytes: int
    checksum: str


class Field(NamedTuple):
    """Describes how one field of a Ring lies in a segment."""

    name: str
    dtype: str
    row_shape: tuple[int, ...]
    row_bytes: int


def write_segment(directory: Path, store: Ring, first: int, end: int) -> Segment:
    """Writes transitions `first` … `end - 1` of the ring `store`, whole or not at all.

    The name contains a checksum of the content, so two runs that continue from the same checkpoint in
    different ways never write the same name.
    """
    fields = layout(store)
    head = header(fields, first, end)
    digest = _digest(head)
    for piece in _pieces(store, first, end):
        digest.update(piece)
    checksum = digest.hexdigest()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(head)
            for piece in _pieces(store, first, end):
                file.write(piece)

    name = f"segment-{first:012d}-{end:012d}-{checksum[:16]}.safetensors"
    write_atomically(directory / name, write)
    size = len(head) + (end - first) * sum(field.row_bytes for field in fields)
    return Segment(file=name, first=first, end=end, bytes=size, checksum=checksum)


def read_segment(
    directory: Path, segment: Segment, store: Ring, oldest: int
) -> Iterator[tuple[int, list[Tensor]]]:
    """Yields the transitions of `segment` from number `oldest` on, some at a time.

    Each time they are the number of the first one, and the fields [M, ...] of a ring like `store`. Raises
    DamagedFile before the first ones unless every byte of the file is what was written.
    """
    path = existing(directory, segment)
    first, end = segment["first"], segment["end"]
    fields = layout(store)
    head = header(fields, first, end)
    at_once = min(max(1, SCRATCH // sum(field.row_bytes for field in fields)), len(store.reward))
    with path.open("rb") as file:
        if file.read(len(head)) != head:
            raise DamagedFile(path, _explain(file, fields, otherwise=REPLACED))
        check_segment(directory, segment)
        for start in range(max(first, oldest), end, at_once):
            count, place, piece = min(at_once, end - start), len(head), []
            for field, ring in zip(fields, store, strict=True):
                file.seek(place + (start - first) * field.row_bytes)
                rows = torch.frombuffer(bytearray(file.read(count * field.row_bytes)), dtype=ring.dtype)
                piece.append(rows.view(count, *field.row_shape))
                place += (end - first) * field.row_bytes
            yield start, piece


def check_segment(directory: Path, segment: Segment) -> None:
    """Raises DamagedFile unless every byte of the file is what was written; needs no ring."""
    path = existing(directory, segment)
    with path.open("rb") as file:
        if file_digest(file, _digest).hexdigest() != segment["checksum"]:
            raise DamagedFile(path, _explain(file, [], otherwise=CHANGED))


def layout(store: Ring) -> list[Field]:
    """Returns the fields of `store` in the order of the file."""
    fields = []
    for name, ring in zip(store._fields, store, strict=True):
        row_bytes = ring.shape[1:].numel() * ring.element_size()
        fields.append(Field(name, DTYPES[ring.dtype], tuple(ring.shape[1:]), row_bytes))
    return fields


def header(fields: list[Field], first: int, end: int) -> bytes:
    """Returns the only header that an undamaged file of these transitions can have, its length included."""
    numbers = {"version": str(VERSION), "first": str(first), "end": str(end)}
    content: dict[str, Any] = {"__metadata__": {"format": "sac_lightning.replay", **numbers}}
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
    after_it = max(0, start + count - capacity)
    for field, ring in zip(layout(store), store, strict=True):
        at_once = max(1, SCRATCH // field.row_bytes)
        for begin, stop in ((start, start + count - after_it), (0, after_it)):
            for row in range(begin, stop, at_once):
                rows = ring[row : min(row + at_once, stop)]
                yield rows.cpu().reshape(-1).view(torch.uint8).numpy().data


def _digest(start: bytes = b"") -> "blake2b":
    return blake2b(start, digest_size=16)


def existing(directory: Path, segment: Segment) -> Path:
    """Returns the file of `segment`. Raises DamagedFile where it is missing or has another length."""
    path = directory / segment["file"]
    # The name comes from a checkpoint, which may come from anywhere.
    if not NAME.fullmatch(segment["file"]):
        raise DamagedFile(path, "is not the name of a segment of the replay journal")
    if not path.is_file():
        raise DamagedFile(path, "is missing, and the checkpoint needs it")
    size = path.stat().st_size
    if size != segment["bytes"]:
        raise DamagedFile(path, f"is {size} bytes long, not {segment['bytes']}: truncated or overwritten")
    return path


def _explain(file: BinaryIO, fields: list[Field], otherwise: str) -> str:
    """Returns what is wrong with the file's header, in words, or `otherwise`."""
    file.seek(0)
    text = file.read(min(int.from_bytes(file.read(8), "little"), SCRATCH))
    try:
        content = json.loads(text)
        version = int(content["__metadata__"]["version"])
        found = {field.name: (content[field.name]["dtype"], content[field.name]["shape"]) for field in fields}
    except (ValueError, KeyError, TypeError):
        return "its header is damaged"
    if version != VERSION:
        return f"has format {version}; this version of sac_lightning reads format {VERSION}"
    for field in fields:
        dtype, shape = found[field.name]
        if (dtype, shape[1:]) != (field.dtype, list(field.row_shape)):
            rows = f"{field.name} rows of {dtype} {shape[1:]}"
            return f"has {rows}; this env's are {field.dtype} {list(field.row_shape)}"
    return otherwise
