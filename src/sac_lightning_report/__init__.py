"""Reports over runs and sweeps: statistics, figures, Markdown tables and one HTML page.

Needs the extra `sac-lightning[report]`.
"""

from sac_lightning_report.grouping import option_names
from sac_lightning_report.results import Results
from sac_lightning_report.write import WrittenReport, write_report

__all__ = ["Results", "WrittenReport", "option_names", "write_report"]
