"""What came of runs: the table of a sweep, and the report of a study. No torch, so that both appear at once."""

from ablate.report.page import write_report
from ablate.report.table import arm_labels, arm_rows
from ablate.report.terminal import summary

__all__ = ["arm_labels", "arm_rows", "summary", "write_report"]
