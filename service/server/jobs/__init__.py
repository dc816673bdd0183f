"""Jobs: commands of the command line, queued and run, each in a folder of its own."""

from l2o.service.server.jobs.part import Jobs

__all__ = ["Jobs"]
