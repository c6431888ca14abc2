"""Reports: the table of a sweep, the report of a study, the first page of a collection; starts without torch."""

from ablate.report.overview import collection_summary, report_collection, write_overview
from ablate.report.page import write_report
from ablate.report.table import arm_labels, arm_rows
from ablate.report.terminal import summary

__all__ = [
    "arm_labels",
    "arm_rows",
    "collection_summary",
    "report_collection",
    "summary",
    "write_overview",
    "write_report",
]
