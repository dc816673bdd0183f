"""Studies: questions about policies, each with a command of its own, `l2o study NAME`."""

_HERE = "l2o.benchmarks.studies"

STUDIES: dict[str, tuple[str, str]] = {
    "portrait": (
        f"{_HERE}.portrait.study:Portrait",
        "What does a policy do on held-out tasks? Three pictures.",
    ),
    "multipliers": (
        f"{_HERE}.portrait.study:Multipliers",
        "Which multipliers does it choose, layer by layer?",
    ),
    "base-lr": (
        f"{_HERE}.portrait.study:BaseLR",
        "Does it correct a base learning rate that is wrong?",
    ),
    "spike": (f"{_HERE}.portrait.study:LossSpike", "What does it do after a spike in the loss?"),
    "importance": (
        f"{_HERE}.portrait.importance:Importance",
        "Which signals does it live on? Permutation importance.",
    ),
    "drawn-episodes": (
        f"{_HERE}.drawn_episodes:DrawnEpisodes",
        "Which policy is best on episodes drawn as in training?",
    ),
    "learning-curves": (
        f"{_HERE}.learning_curves:LearningCurves",
        "How did training runs learn, over time?",
    ),
    "heldout-learning-curves": (
        f"{_HERE}.heldout_learning_curves:HeldoutLearningCurves",
        "How did a run learn, scored on held-out tasks?",
    ),
    "foreign-task": (
        f"{_HERE}.foreign_task:ForeignTask",
        "Does it help on a task of none of the families?",
    ),
    "harm": (f"{_HERE}.harm.study:Harm", "Does it, plugged into a training loop, do harm?"),
    "guard-cost": (
        f"{_HERE}.guard_cost:GuardCost",
        "What does the guard cost on tasks of the families?",
    ),
    "offline": (
        f"{_HERE}.offline:Offline",
        "What has a data set of trials to win, and what does a forest win of it?",
    ),
    "claims": (
        f"{_HERE}.claims:Claims",
        "What must a policy that adapts show, and what was measured of it?",
    ),
    "suggestions": (
        f"{_HERE}.suggestions:Suggestions",
        "Is what l2o suggest picks better than one thing for all tasks?",
    ),
    "early-stopping": (
        f"{_HERE}.early_stopping:EarlyStopping",
        "What does ASHA save over a grid that is run to the end?",
    ),
    "driver-kills": (
        f"{_HERE}.driver_kills:DriverKills",
        "Does a program on Ray go on where it was killed, and come to the same?",
    ),
    "ranges": (
        f"{_HERE}.ranges:RangesStudy",
        "Which of a simulator's parameters does it help to vary?",
    ),
    "attention": (f"{_HERE}.attention:Attention", "Where do fine-tuned networks look? Grad-CAM."),
    "service": (
        "l2o.service.load.study:ServiceStudy",
        "What of a server that is killed, fed nonsense, filled with sessions?",
    ),
    "damage": ("l2o.service.damage.study:Damage", "Are damaged files refused, or made anew?"),
    "kills": (
        "l2o.service.load.fine_tune_kills:FineTuneKills",
        "Does a fine-tune that is killed and resumed end in the same weights?",
    ),
    "jobs": (
        "l2o.service.load.job_kills:JobKills",
        "Is a job lost when its server is killed, or the machine?",
    ),
}
"""Name -> where the study is, and the question it answers; imported when used."""
