"""The replay buffer on disk: an append-only journal of immutable segments.

A save writes what is new, as one segment. A *manifest*, the list of the segments that make up the ring at
that moment, goes into the checkpoint; segments are shared between checkpoints and never changed. So a crash
at any instant leaves every manifest that was ever returned whole, and any kept checkpoint can be resumed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from sac_lightning.core.errors import require
from sac_lightning.core.files import DamagedFile
from sac_lightning.replay.buffer import ReplayBuffer
from sac_lightning.replay.disk.segment import NAME, Segment, check_segment, read_segment, write_segment
from sac_lightning.replay.ring import Ring, write_around

Manifest = list[Segment]


class Journal:
    """Keeps the transitions of one run in `directory`, which is made at the first save."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._manifest: Manifest = []
        self._end = 0
        self._is_ours = False  # whether the segments that may be there are this run's

    def save(self, replay: ReplayBuffer) -> Manifest:
        """Writes the transitions added since the last save or load. Returns the manifest of the ring.

        After an error nothing has changed, and a later save writes the same transitions again.
        """
        if replay.added < self._end:
            raise RuntimeError(
                f"the journal has {self._end} transitions, the buffer {replay.added}: load the journal first"
            )
        self._check_ours()
        oldest = replay.added - len(replay)
        first = max(self._end, oldest)
        manifest = [segment for segment in self._manifest if segment["end"] > oldest]
        if replay.added > first:
            manifest.append(write_segment(self.directory, replay.store, first, replay.added))
        self._manifest, self._end = manifest, replay.added
        return _copy(manifest)

    def load(self, replay: ReplayBuffer, manifest: Sequence[Any], added: int) -> None:
        """Rebuilds the ring as it was when `save` returned `manifest` and `replay.added` was `added`.

        Later segments are ignored, and the next save continues from here without touching them. Needs one
        MiB besides the buffer. Raises DamagedFile naming the file that is missing or not what was
        written; the contents of `replay` are then undefined.
        """
        if replay.frames is None:
            needed = self.read(replay.store, manifest, added)
        else:
            needed = self._needed(replay.capacity, manifest, added)
            replay.added = oldest = max(0, added - replay.capacity)
            for segment in needed:
                for _, fields in read_segment(self.directory, segment, replay.store, oldest):
                    replay.add(*fields)
        replay.added = added
        self._manifest, self._end, self._is_ours = needed, added, True

    def read(self, store: Ring, manifest: Sequence[Any], added: int) -> Manifest:
        """Reads the last transitions before number `added` into `store`, until it is full.

        Returns the segments that contain them. Raises DamagedFile as `load` does.
        """
        capacity = len(store.reward)
        needed = self._needed(capacity, manifest, added)
        for segment in needed:
            for number, fields in read_segment(self.directory, segment, store, max(0, added - capacity)):
                write_around(store, fields, number % capacity, capacity)
        return needed

    def _needed(self, rows: int, manifest: Sequence[Any], added: int) -> Manifest:
        oldest = max(0, added - rows)
        needed = _copy(segment for segment in manifest if segment["end"] > oldest)
        self._check_whole(needed, oldest, added)
        return needed

    def check(self, manifest: Iterable[Any]) -> None:
        """Raises DamagedFile unless every segment of `manifest` is there, to the byte. Changes nothing."""
        for segment in _copy(manifest):
            check_segment(self.directory, segment)

    @property
    def has_spare(self) -> bool:
        """Returns whether the directory contains segments that the present ring no longer needs."""
        needed = {segment["file"] for segment in self._manifest}
        return any(name not in needed for name in self._segments())

    def prune(self, kept: Iterable[Sequence[Any]]) -> None:
        """Removes the segments that are in no kept manifest, and what a crash left half written.

        The segments of the present ring stay: the next manifest names them again.
        """
        needed = {segment["file"] for manifest in (*kept, self._manifest) for segment in manifest}
        for name in self._segments():
            if name not in needed:
                (self.directory / name).unlink(missing_ok=True)

    def _segments(self) -> list[str]:
        """Returns the names of all segments in the directory, half-written ones too."""
        if not self.directory.is_dir():
            return []
        names = (path.name for path in self.directory.iterdir())
        return [name for name in names if NAME.fullmatch(name.removeprefix(".").removesuffix(".tmp"))]

    def _check_ours(self) -> None:
        """Raises ConfigError for the transitions of another run, which would be pruned."""
        allowed = "contains the replay of a run: continue it from its checkpoint, or name another folder"
        others = [name for name in self._segments() if NAME.fullmatch(name)]
        require(self._is_ours or not others, "journal_dir", self.directory, allowed)
        self._is_ours = True

    def _check_whole(self, segments: Manifest, oldest: int, added: int) -> None:
        reached = oldest
        for segment in segments:
            if segment["first"] > reached:
                raise DamagedFile(
                    self.directory, f"transitions {reached} to {segment['first'] - 1} are in no segment"
                )
            reached = segment["end"]
        if reached != added:
            raise DamagedFile(self.directory, f"ends at transition {reached}, the checkpoint at {added}")


def _copy(segments: Iterable[Any]) -> Manifest:
    """Returns copies as plain dicts, for a checkpoint."""
    return [cast(Segment, dict(segment)) for segment in segments]
