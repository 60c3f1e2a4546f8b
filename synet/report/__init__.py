"""One page about a model, for a person who was not there: what it costs, finds and loses."""

from synet.report.write import gather, write_report

__all__ = ["gather", "write_report"]
