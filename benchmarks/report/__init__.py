"""Reports: tables, figures and pages from results."""
