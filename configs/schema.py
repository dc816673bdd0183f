"""The schema of every config: one documented line per field, nothing unknown accepted."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from l2o.configs.adaptation import Adaptation
from l2o.configs.base import Named as Named
from l2o.configs.base import Number as Number
from l2o.configs.base import Options as Options
from l2o.configs.base import Rate as Rate
from l2o.configs.base import Steps as Steps
from l2o.configs.base import Strict as Strict
from l2o.configs.choice import PolicyChoice as PolicyChoice
from l2o.configs.claim import Bound as Bound
from l2o.configs.claim import Claim as Claim
from l2o.configs.intervals import Interval
from l2o.configs.ray import ExecutorName as ExecutorName
from l2o.configs.ray import Placed as Placed
from l2o.configs.search import Search

Precision = Literal["float32", "tf32", "bf16"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""What every generator takes, with room for the numbers that are added to it."""
Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
"""How many of something, where memory does not depend on it."""
Factor = Annotated[float, Field(gt=0.0, le=1e6)]
"""A factor on a learning rate."""
Span = tuple[Rate, Rate]
LARGEST_PLAN = 1_000_000
"""Fine-tunes that a benchmark may have of one setting."""
Weight = Annotated[float, Field(ge=-1e6, le=1e6)]
Decades = Annotated[float, Field(ge=-6.0, le=6.0)]


def check_fine_tunes(tasks: int, seeds: int) -> None:
    """Raise ValueError unless the fine-tunes of one setting can be listed in memory."""
    if tasks * seeds > LARGEST_PLAN:
        raise ValueError(
            f"tasks={tasks} x seeds={seeds} are {tasks * seeds} fine-tunes of each setting, and at "
            f"most {LARGEST_PLAN} can be planned; take fewer"
        )


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("must be a range, its lower end first")
    return span


class FineTuning(Strict):
    """How the inner network is fine-tuned; the same for training, benchmark and one run."""

    steps: Steps | None = None
    """Length in optimizer steps; null takes the task's."""
    optimizer: Named = Named(name="sgd")
    """Inner optimizer: sgd, sgd_lr_momentum, adam, adamw, rmsprop, lion, or one of the rivals."""
    guidance: dict[str, Options] = {"proxy_kl": {"weight": 0.3}}
    """Guidance terms added to the loss: name -> arguments; {} is plain fine-tuning."""
    interval: Interval = 10
    """Optimizer steps between decisions, for every policy; or a rule: {first, growth, share}, or
    {name, options} of a member of l2o.intervals or of one of your own."""
    source_weights: dict[str, Any] | Literal["size", "learned"] = "size"
    """Of a task with several sources, how much of each batch is whose: as their sizes are; by name
    a number or a schedule of it; or learned, the more of a source the worse it is fitted."""
    source_norm: bool = False
    """Whether batch norm that is trained has statistics of each source; scores are by the pool."""
    rehearsal: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    """Weight of the loss on labelled images of the proxy, for a task that has some."""
    device: str = "cpu"
    """Torch device of the inner network; auto takes CUDA where there is one."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """What forward and backward passes are computed in (autocast); weights stay float32."""
    channels_last: bool = False
    """Lay images and weights out with channels last: faster convolutions, the same numbers."""
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Parts that each batch is cut into, whose gradients add up: less memory, the same step."""
    compile: bool = False
    """Compile the network by torch.compile."""

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
            raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
        return device


class DrawnOptimizer(Named):
    """An inner optimizer that episodes may draw."""

    base_lr: Span | None = None
    """Range of its base LR, drawn log-uniformly; null takes the environment's."""

    @field_validator("base_lr")
    @classmethod
    def _check_range(cls, base_lr: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if base_lr is None else _ascending(base_lr)


class Environment(Strict):
    """The reinforcement-learning environment: one episode is one fine-tune."""

    base_lr: Span = (0.001, 0.3)
    """Range from which each episode draws its base LR, log-uniformly."""
    optimizers: tuple[DrawnOptimizer, ...] = ()
    """Inner optimizers that episodes draw from; empty takes `finetuning.optimizer`."""
    guidance_weights: dict[str, Span] = {}
    """Guidance term -> range from which each episode draws its weight, log-uniformly."""
    guidance_absent: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Probability, per episode and drawn weight, that it is 0."""
    group: Number = 1
    """Successive environments of a vector that draw the same episodes; their actions differ."""
    tasks: Number | None = None
    """Number of distinct tasks that episodes draw from, kept in memory; null: always new ones."""
    multipliers: Options = {"kind": "log", "low": 0.001, "high": 10.0}
    """Action range: {kind: log, low, high} or {kind: bins, values}."""
    signals: tuple[str, ...] | None = None
    """Signals of the observation, in order; null takes all."""
    rewards: dict[str, Weight | Options] = {"target": 10.0, "divergence": 1.0}
    """Reward terms: name -> weight, or arguments: {target: {weight: 10, metric: accuracy}}."""
    guidance_actions: tuple[str, ...] = ()
    """Guidance terms of `finetuning.guidance` whose weights are actions, too: a row each."""
    validation: bool = False
    """Whether the policy is told the source validation loss (one evaluation per decision)."""
    signal_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Probability, per episode and signal, that loss, KL, validation or progress is withheld."""

    @field_validator("base_lr")
    @classmethod
    def _check_range(cls, base_lr: tuple[float, float]) -> tuple[float, float]:
        return _ascending(base_lr)

    @field_validator("guidance_weights")
    @classmethod
    def _check_weights(
        cls, weights: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        return {name: _ascending(span) for name, span in weights.items()}


class Network(Strict):
    """The policy network."""

    kind: Literal["layer_shared", "asg_2020"] = "layer_shared"
    """layer_shared drives any depth of model, asg_2020 (ASG's) one number of layer groups."""
    hidden: Annotated[int, Field(gt=0, le=16_384)] = 64
    """Width of the per-layer encoder, the context and the heads; of asg_2020 each LSTM's, 20."""
    anchor: Literal["none", "base_lr", "update", "multiplier"] = "none"
    """layer_shared: outputs are offsets to nothing, an LR, a size of updates, the multiplier."""
    pooling: Literal["mean", "attention", "none"] = "mean"
    """layer_shared: how layers see the others: by their mean, by attention, or not at all."""
    recurrent: bool = False
    """layer_shared: whether each layer group carries a GRU state between decisions."""
    memoryless: bool = False
    """asg_2020: forget the recurrent state between decisions, as ASG's release does."""


class Evaluation(Strict):
    """Periodic evaluation during training, on tasks that are not trained on."""

    task: Options = {}
    """Family arguments that differ from the training task's (for instance another network pool)."""
    every: Count = 10
    """Iterations of the algorithm between evaluations."""
    tasks: Number = 2
    """Number of tasks, from seeds that training never draws."""
    base_lrs: tuple[Rate, ...] = (0.003, 0.03, 0.3)
    """Base learning rates each task is run at."""
    drawn: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Number of episodes drawn as the environment draws them, instead of `tasks` x `base_lrs`."""


class Imitation(Strict):
    """What a policy begins with: a schedule at the right base LR, or another policy, imitated."""

    policy: str | None = None
    """Policy to imitate, by name or folder, of any signals; null imitates the schedule."""
    schedule: Named | str = "one_cycle"
    """Schedule to imitate."""
    profile: Named | str = "small_backbone"
    """Layer profile to imitate."""
    candidates: tuple[tuple[Decades, Decades], ...] = ()
    """Variants of the teacher, each as decades to add to the LRs of backbone and head: as many as
    `environment.group` has fine-tunes, each of which tries another. Imitated is their mean,
    weighted by how they ended on the target's validation images. Empty: the teacher as it is."""
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)] = 0.02
    """How sharply candidates are told apart: weights are exp(target accuracy / temperature)."""
    episodes: Count = 256
    """Demonstrations, in fine-tunes; they count towards the policy's cost."""
    noise: Annotated[float, Field(ge=0.0, le=1e6)] = 0.1
    """Standard deviation of the teacher's noise, in actions in [-1, 1]."""
    epochs: Count = 40
    """Passes over the demonstrations, after each half of them."""
    learning_rate: Rate = 2e-3
    """Of Adam."""


class TrainConfig(Placed):
    """`l2o train`: learn a policy."""

    name: str = "policy"
    """Name written into the policy's card."""
    seed: Seed = 0
    """Seed of everything."""
    task: Named = Named(name="digits", options={"split": "train"})
    """Task family to train on."""
    finetuning: FineTuning = FineTuning()
    """The inner loop."""
    environment: Environment = Environment()
    """Actions, observations and rewards."""
    network: Network = Network()
    """The policy network."""
    imitation: Imitation | None = None
    """What to begin with (algorithms ppo, sac and evolution); null for an untrained network."""
    algorithm: Named = Named(name="ppo")
    """Learning algorithm and its arguments."""
    episodes: Count = 2000
    """Budget in fine-tunes; training ends at whichever budget comes first."""
    minutes: PositiveFloat | None = None
    """Budget in minutes of wall-clock, over all resumes; null for none."""
    workers: Annotated[int, Field(gt=0, le=1024)] = 2
    """Processes that fine-tune in parallel, with one torch thread each."""
    executor: ExecutorName = Named(name="processes")
    """Where the workers are: processes of this machine, here (this process, one after the other),
    `ray` (the workers of a cluster), or one of your own; what is learned is the same."""
    environments: Annotated[int, Field(gt=0, le=65_536)] = 16
    """Fine-tunes at once, shared among the workers; each computes its share as one stack."""
    stacked: bool = True
    """False: one fine-tune per worker, unstacked; for optimizers or guidance of your own."""
    checkpoint_every: Count = 5
    """Iterations between checkpoints."""
    evaluation: Evaluation = Evaluation()
    """Evaluation and best-policy selection."""

    @model_validator(mode="after")
    def _check_candidates(self) -> TrainConfig:
        tried = len(self.imitation.candidates) if self.imitation else 0
        if tried not in (0, self.environment.group):
            raise ValueError(
                f"imitation.candidates has {tried} entries; give one for each of the "
                f"environment.group={self.environment.group} fine-tunes of a group, or none"
            )
        return self


class Row(PolicyChoice):
    """One row of a benchmark table."""

    label: str
    """Name in the table; must be unique."""
    guidance: dict[str, Options] | None = None
    """Guidance terms of this row; null takes the benchmark's."""
    optimizer: Named | str | None = None
    """Inner optimizer of this row; null takes the benchmark's."""
    task: Options = {}
    """Options of the task that this row changes, such as its network or what its synthetic images
    are drawn from; what scores is to stay as it is, or rows cannot be compared."""
    finetuning: Options = {}
    """Fields of the inner loop that this row changes, such as `source_weights`."""
    base_lr: Rate | None = None
    """Base LR of this row, whatever the factor; null takes the task's, times the factor."""
    base_lr_factors: tuple[Factor, ...] | None = None
    """Factors on the task's base LR; null takes the benchmark's."""
    guard: bool = False
    """Whether the controller's guard watches over the fine-tunes of this row, as it does in a loop
    of your own; they are then run one by one."""
    groups: Number | dict[str, str] | None = None
    """Layer groups of this row: so many at most (neighbours are merged), or name -> regular
    expression on the parameters' names; null: one for each block. Run one by one unless null."""
    adaptation: Options | None = None
    """Fields of a second stage, on the target's unlabelled images, over those of the benchmark's
    `adaptation`; null: none. Run one by one."""
    search: Search | None = None
    """A search by Ray Tune that this row stands for; null: one fine-tune. Run one by one."""
    published: dict[str, float] = {}
    """Published figures of the row that this one stands for: metric -> value, any unit."""

    @model_validator(mode="after")
    def _check_search(self) -> Row:
        other = {"policy": self.policy, "adaptation": self.adaptation}
        for name, value in other.items():
            if self.search is not None and value is not None:
                raise ValueError(f"{name} and search are both given; leave one of them out")
        return self


class Grid(Strict):
    """A grid of hand-tuned schedules, each at every base LR: rows and tuning in one."""

    schedules: tuple[Named | str, ...] = ()
    """Schedules."""
    profiles: tuple[Named | str, ...] = ()
    """Layer profiles that each schedule is combined with."""
    early_stopping: tuple[Options | None, ...] = (None,)
    """Early-stopping arguments that each of those is combined with."""
    base_lr_factors: tuple[Factor, ...] | None = None
    """Factors on the task's base LR that it is tuned over; null takes the benchmark's."""


class BenchmarkConfig(Placed):
    """`l2o benchmark`: policies x tasks x seeds on the held-out split."""

    title: str = "Benchmark"
    """Heading of the report."""
    task: Named = Named(name="digits", options={"split": "heldout"})
    """Task family."""
    tasks: Number = 4
    """Number of tasks (family seeds 0, 1, ...)."""
    seeds: Number = 5
    """Fine-tunes per task and setting, each with its own batches and head."""
    finetuning: FineTuning = FineTuning()
    """The inner loop, the same for every row."""
    adaptation: Options = {}
    """What the second stages of rows have in common: fields of `Adaptation`."""
    base_lr_factors: tuple[Factor, ...] = (1.0,)
    """Factors on the task's base LR that every row is run at: how wrong the user's guess was."""
    policy: str | None = None
    """Shorthand that adds the row "learned policy" with this policy."""
    rows: tuple[Row, ...] = ()
    """Rows of the table."""
    grid: Grid = Grid()
    """Schedules x profiles, added as rows and tuned over the base LR factors."""
    claims: tuple[Claim, ...] = ()
    """What the table is held to."""
    evaluations: Number = 6
    """Points of the accuracy-over-training curve, at decisions, the end included."""
    bootstrap: Number = 2000
    """Resamples of each confidence interval."""
    stacked: bool = True
    """False: fine-tunes one by one. What has no stacked form is run so in any case."""
    executor: ExecutorName = Named(name="processes")
    """Where the workers (`--workers`) are: processes of this machine, here (this process, one
    fine-tune or stack after the other), `ray` (the workers of a cluster), or one of your own."""
    precision: Precision = "float32"
    """Number format of the networks, when stacked; tf32 is CUDA's, elsewhere it is float32."""

    def second_stage(self, row: Row) -> Adaptation | None:
        """Return the second stage of a row, None if it has none."""
        own = row.adaptation
        return None if own is None else Adaptation.model_validate({**self.adaptation, **own})

    def task_of(self, row: Row) -> Named:
        """Return the task family of a row, with the options that the row changes."""
        if not row.task:
            return self.task
        return self.task.model_copy(update={"options": {**self.task.options, **row.task}})

    def loop_of(self, row: Row) -> FineTuning:
        """Return the inner loop of a row."""
        optimizer = {"name": row.optimizer} if isinstance(row.optimizer, str) else row.optimizer
        own = {"guidance": row.guidance, "optimizer": optimizer}
        given = {key: value for key, value in own.items() if value is not None}
        if not given and not row.finetuning:
            return self.finetuning
        return FineTuning.model_validate({**dict(self.finetuning), **given, **row.finetuning})

    @model_validator(mode="after")
    def _check_rows(self) -> BenchmarkConfig:
        for row in self.rows:
            self.second_stage(row)
            self.loop_of(row)
        return self

    @model_validator(mode="after")
    def _check_size(self) -> BenchmarkConfig:
        check_fine_tunes(self.tasks, self.seeds)
        return self

    @model_validator(mode="after")
    def _check_precision(self) -> BenchmarkConfig:
        if self.precision != "float32" and not self.stacked:
            raise ValueError(
                f"precision {self.precision} is for stacked fine-tunes; "
                "set stacked=true or precision=float32"
            )
        return self
