"""The command line in this process."""

from typer.testing import CliRunner

from l2o.service.cli import app


def run(*words):
    """Return the result of `l2o WORDS`; an error that is nobody's input is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="l2o")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def succeed(*words):
    """Return what `l2o WORDS` prints; it must end well."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.output
