"""Reports over runs and sweeps: statistics, figures, a Markdown table and one HTML page."""

from sac_lightning.report.options import option_names
from sac_lightning.report.results import Results
from sac_lightning.report.writing import Written, write_report

__all__ = ["Results", "Written", "option_names", "write_report"]
