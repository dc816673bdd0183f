"""Code by name: refused unless the server was started to allow it.

Whatever a config names may be the user's own, `package.module:Name`, which is imported. From
strangers that would be a way to run anything. A job's config is looked through as a whole, and the
job itself is run so that names are not imported (`l2o.registry.NO_CODE`), should one be overlooked.
"""

from __future__ import annotations

from typing import Any

from l2o.service.server.jobs.texts import texts


class CodeRefusedError(ValueError):
    """A config that names code by its dotted path."""


def refuse_code(config: Any) -> None:
    """Refuse a config that names code anywhere: in a value or a key, however deep.

    Raises:
        CodeRefusedError: it does; the message has the first field and its value.

    Example:
        >>> refuse_code({"task": {"name": "digits"}})
    """
    for found in texts(config):
        if _is_dotted(found.text) and not found.is_plain:
            raise CodeRefusedError(
                f"{found.field} = {found.text[:200]!r} names code by its path, and this server "
                "runs none that jobs name; take a member of the table, or start the server with "
                "--allow-code"
            )
        if found.place[-1] == "allow_code" and not found.is_key:
            raise CodeRefusedError(f"{found.field} must be true or false")
    _refuse_switches(config, ())


def _refuse_switches(data: Any, place: tuple[str, ...]) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            here = (*place, str(key))
            if key in ("allow_code", "trust_remote_code") and value is not False:
                raise CodeRefusedError(
                    f"{'.'.join(here)} = {value!r} lets code of others run, and this server runs "
                    "none that jobs name; leave it out, or start the server with --allow-code"
                )
            _refuse_switches(value, here)
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            _refuse_switches(value, (*place, str(number)))


def _is_dotted(text: str) -> bool:
    """Tell whether a text may be read as `package.module:Name`.

    Modules may be files of any name, so what is not a path of modules is told by what no name of a
    module or of a thing in it has.
    """
    module, colon, name = text.partition(":")
    return bool(colon and module.strip() and name.strip()) and not any(
        sign in text for sign in "\n()[]{}*?+^$|"
    )
