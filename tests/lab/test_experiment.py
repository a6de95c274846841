"""Tables: what is drawn is what the file holds."""

import math
from pathlib import Path

import numpy as np

from entropy_lab.experiment import Table


def test_table_in_memory_is_the_table_that_its_file_gives_back(tmp_path: Path) -> None:
    rows = [{"rule": "a, b", "seed": 0, "x": 1 / 3}, {"rule": "c", "x": math.nan, "late": 1e-9}]
    table = Table.of(rows)
    table.write(tmp_path / "t.csv")
    back = Table.read(tmp_path / "t.csv")
    assert back.rows == table.rows
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "rule,seed,x,late",
        '"a, b",0,0.333333,',
        "c,,,1e-09",
    ]


def test_rows_are_found_and_split_by_their_cells() -> None:
    table = Table.of([{"s": s, "t": t, "y": 10 * s + t} for s in (3, 1) for t in (0.5, 1.0)])
    assert table.where(s=1, t=0.5).column("y").tolist() == [10.5]
    assert table.distinct("s") == ["3", "1"]
    np.testing.assert_array_equal(table.by("y", "s"), [[30.5, 31.0], [10.5, 11.0]])
    assert len(Table.of([{"y": math.nan}, {"y": 2.0}]).known("y")) == 1
