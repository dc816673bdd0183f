"""Putting a trained policy among the shipped ones, with what a benchmark measured in its card.

python -m l2o.benchmarks.ship runs/asg-base --benchmark runs/digits --limits "..." \\
    --known-limit "..." --known-limit "..."
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from l2o.benchmarks.comparisons.results_file import REMEDY, RESULTS
from l2o.benchmarks.comparisons.table.plan import fingerprint
from l2o.benchmarks.comparisons.zero_shot.summary import training_cost
from l2o.configs.load import config_data, load_policy_training
from l2o.configs.schema import Options
from l2o.deciding.bundle import CARD, load_bundle, read_card, save_policy
from l2o.files.seals import read_json
from l2o.files.streams import forgive_encodings

ZOO = Path(__file__).parent.parent / "policies" / "zoo"
LARGEST = 200_000
"""Bytes that a shipped policy may take, card included."""


def ship(
    run: Path,
    benchmark: Path | None,
    limits: str,
    zoo: Path = ZOO,
    known_limits: Sequence[str] = (),
) -> Path:
    """Copy a run's policy to the zoo, under the name in its card.

    Args:
        run: folder of the training run.
        benchmark: folder of a benchmark with this policy; its headline goes into the card.
        limits: what the policy was not trained or tested on, in a sentence.
        zoo: where to.
        known_limits: what measurements have shown it not to do, in plain sentences. Without any,
            those of the run's card or, if these very weights are in the zoo already, of that card.

    Returns:
        The shipped bundle's folder.

    Raises:
        ValueError: the benchmark is of another policy, a limit is no sentence, or the bundle is
            too large.
    """
    policy, card = load_bundle(run), read_card(run)
    # The run's budget may have been changed on a resume, after the card was written.
    card["config"] = config_data(load_policy_training(run / "config.yaml"))
    card["trained_on"] |= whole_run(run, card["config"])
    card["limits"] = limits
    card["known_limits"] = sentences(known_limits) or kept_limits(card, zoo)
    card["reproduce"] = f"l2o train {card['name']}"
    if benchmark is not None:
        card["results"]["benchmark"] = headline(benchmark, fingerprint(str(run)))
    folder = save_policy(zoo / str(card["name"]), policy, card)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > LARGEST:
        raise ValueError(f"{folder} takes {size} bytes, a shipped policy at most {LARGEST}")
    return folder


def sentences(known_limits: Sequence[str]) -> list[str]:
    """Return known limits as a card has them.

    Raises:
        ValueError: a text instead of several, or one that is empty.

    Example:
        >>> sentences(["It is no better than a cosine on long fine-tunes."])
        ['It is no better than a cosine on long fine-tunes.']
    """
    # A text is a sequence of texts, too: its letters.
    wrong = [each for each in known_limits if not isinstance(each, str) or not each.strip()]
    if isinstance(known_limits, str) or wrong:
        raise ValueError(
            "known limits must be a list of sentences, none of them empty, got "
            f'{known_limits!r:.100}; pass --known-limit "..." once per sentence'
        )
    return list(known_limits)


def kept_limits(card: Options, zoo: Path) -> list[str]:
    """Return the known limits that a policy's card or its shipped one has already."""
    told = card.get("known_limits", [])
    shipped = zoo / str(card["name"])
    if not told and (shipped / CARD).is_file():
        before = read_card(shipped)
        # Of other weights under the same name nothing of this has been measured.
        told = before.get("known_limits", []) if before.get("sha256") == card["sha256"] else []
    return sentences(told)


def whole_run(run: Path, config: Options) -> Options:
    """Return what learning a policy took in all: its whole run, and that of a policy it imitated.

    The policy that ships is the best of its run by evaluation, and so may be of an earlier moment.
    """
    results = read_json(run / "results.json", "resume the run, which writes it again")
    told = {
        "fine_tunes_of_the_run": results["episodes"],
        "minutes_of_the_run": round(results["seconds"] / 60, 1),
    }
    teacher = (config["imitation"] or {}).get("policy")
    cost = None if teacher is None else training_cost(teacher)
    return told if cost is None else told | {"fine_tunes_of_the_teacher": cost}


def headline(benchmark: Path, mark: str) -> Options:
    """Return a benchmark's headline comparisons.

    Raises:
        ValueError: the benchmark did not run the policy of this fingerprint.
    """
    results = read_json(benchmark / RESULTS, REMEDY)
    if mark not in [policy["fingerprint"] for policy in results["policies"]]:
        raise ValueError(
            f"{benchmark} did not benchmark this policy as it is; run it again with policy=RUN"
        )
    # A comparison over families has several tasks.
    about = "task" if "task" in results else "families"
    return {
        "title": results["title"],
        about: results[about],
        "counts": results["counts"],
        "figures": results["figures"],
    }


def main() -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--benchmark", type=Path)
    parser.add_argument("--limits", required=True)
    parser.add_argument("--known-limit", action="append", default=[], dest="known_limits")
    arguments = parser.parse_args()
    known_limits = arguments.known_limits
    print(ship(arguments.run, arguments.benchmark, arguments.limits, known_limits=known_limits))


if __name__ == "__main__":
    main()
