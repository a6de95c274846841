"""How a command ends: its exit statuses."""

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
# What summary.json says of a run that needs no going on.
ENDED = ("done", "pruned")


class SweepEnded(Exception):
    """All jobs of a sweep have ended and been told; at least one of them with another status than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
