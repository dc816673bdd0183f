"""Requests drawn from a server's own schema: does any of them make it fail?"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from l2o.extras import needed_by
from l2o.service.load.process import TOKEN, ServerProcess
from l2o.service.load.sessions import opening

AT_ONCE = 50
"""Requests that are drawn for a path in one go."""
SLOW = ("/v1/jobs",)
"""Paths that begin work of minutes: they are asked to read, not to begin it."""


@dataclass
class Fuzzed:
    """What came of it.

    Attributes:
        requests: sent.
        statuses: answers, by status.
        failures: requests that were answered with status 500 or more, or not at all.
        tracebacks: answers that have one.
        logged: tracebacks in the server's log.
        by_path: requests, by method and path.
    """

    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    tracebacks: int = 0
    logged: int = 0
    by_path: dict[str, int] = field(default_factory=dict)


def fuzz(server: ServerProcess, requests: int, seed: int) -> Fuzzed:
    """Send so many requests, to all paths alike, valid by the schema and not.

    Raises:
        MissingExtraError: schemathesis is not installed.
    """
    with needed_by("the study of drawn requests"):
        import schemathesis
    found = Fuzzed()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found_operations: list[Any] = list(schema.get_all_operations())
    operations = [each.ok() for each in found_operations]
    operations = [each for each in operations if _wanted(each.method.upper(), each.path)]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    known = _known(server)
    while found.requests < requests:
        for operation in operations:
            for mode in modes:
                for number, case in enumerate(_drawn(operation, mode, AT_ONCE, seed)):
                    if number % 2:  # of what is not there little can be asked
                        case.path_parameters.update(
                            {k: v for k, v in known.items() if k in case.path_parameters}
                        )
                    _send(server, case, found)
        known, seed = _known(server), seed + 1
    found.logged = server.log.read_text(errors="replace").count("Traceback")
    return found


def _known(server: ServerProcess) -> dict[str, str]:
    """Return path parameters of what is there: a session, a policy, a run; made for it."""
    client = server.client()
    session = client.ask("POST", "/v1/sessions", opening(2))["session"]
    client.ask("PUT", "/v1/telemetry/runs/known", {"name": "known"})
    return {"session": session, "key": "asg-base", "run": "known", "file": "card.json"}


def _wanted(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") or not path.startswith(SLOW)


def _drawn(operation: Any, mode: Any, count: int, seed: int) -> Iterator[Any]:
    """Yield cases; fewer where there are no more, as for a path without any parameter."""
    import hypothesis
    from hypothesis import HealthCheck, given, settings

    cases: list[Any] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        cases.append(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            collect()
        except Exception:  # nothing that breaks the schema can be drawn, as without parameters
            return
    yield from cases


def _send(server: ServerProcess, case: Any, found: Fuzzed) -> None:
    path = f"{case.operation.method.upper()} {case.operation.path}"
    found.requests += 1
    found.by_path[path] = found.by_path.get(path, 0) + 1
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = case.call(base_url=server.url, headers=headers, timeout=30)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        if "InvalidHeader" not in told and "UnicodeEncodeError" not in told:
            found.failures.append(f"{path}: {told[:300]}")
        return
    status = answer.status_code
    found.statuses[status] = found.statuses.get(status, 0) + 1
    text = answer.content or b""
    found.tracebacks += b"Traceback (most recent" in text
    if status >= 500 and status != 503:
        shown = json.dumps(str(case.body)[:200])
        found.failures.append(f"{path}: {status} {text[:300]!r} for {shown}")
