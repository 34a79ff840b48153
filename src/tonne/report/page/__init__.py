"""The report of a run, a plan or a project: one page in several formats."""

from tonne.report.page.making import page_of
from tonne.report.page.subject import Subject, of_forecast, of_project, of_run

__all__ = ["Subject", "of_forecast", "of_project", "of_run", "page_of"]
