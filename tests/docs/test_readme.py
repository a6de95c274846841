"""What README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_library_example_trains_saves_loads_and_acts(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(example.strip().splitlines()) <= 12
    # Fewer env steps than README's, or this would be a learning test.
    shorter = example.replace("5_000", "600")
    assert shorter != example
    done = subprocess.run(
        [sys.executable, "-c", f"import torch; torch.set_num_threads(1)\n{shorter}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "test/return_mean" in done.stdout
    (action,) = map(float, re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", done.stdout.splitlines()[-1]))
    assert -2.0 <= action <= 2.0  # Pendulum's own bounds, not the unit box


def test_every_file_that_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 5
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_every_experiment_env_and_rule_that_readme_names_is_a_config() -> None:
    groups = "env|alpha|experiment|target_entropy|torso|value_head|target_network|optimizer|replay"
    named = re.findall(rf"\b({groups})=([a-z_0-9]+)", README)
    assert len(named) >= 5
    missing = [pair for pair in named if not (ROOT / "conf" / pair[0] / f"{pair[1]}.yaml").exists()]
    assert missing == []


def test_the_table_of_parts_lists_every_option() -> None:
    table = README.partition("## Swap a part")[2].partition("\n## ")[0]
    cells = re.findall(r"\| `([\w/]+)` \| (`\w+`(?:, `\w+`)*)", table)
    assert len(cells) == 9
    for group, options in cells:
        there = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", options)) == there
