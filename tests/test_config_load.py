"""Loading configs: sources, overrides, inheritance, and errors that name the field."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o.configs.catalog import list_presets, read_source, source_name
from l2o.configs.compare import differences
from l2o.configs.errors import ConfigError
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.load import SCHEMAS, check_config, config_data, dump_config, load_config, schema_of
from l2o.configs.schema import (
    BenchmarkConfig,
    Environment,
    Named,
    PolicyChoice,
    Row,
    TrainConfig,
)

PRESETS = [(kind, name) for kind in SCHEMAS for name in list_presets(kind)]


@pytest.fixture
def write(tmp_path):
    def _write(text, name="own.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return _write


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_every_preset_loads_and_is_described(kind, name):
    config = load_config(kind, name)
    assert isinstance(config, schema_of(kind, config_data(config)))
    assert len(list_presets(kind)[name]) > 10


def test_presets_that_the_readme_names_exist():
    assert {("train", "demo"), ("train", "asg-base"), ("finetune", "digits")} <= set(PRESETS)


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_dump_of_a_preset_is_a_config(kind, name, tmp_path):
    config = load_config(kind, name)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(kind, path) == config


def test_file_takes_defaults_for_what_it_leaves_out(write):
    assert load_config("train", write("")) == TrainConfig()
    assert load_config("train", str(write("seed: 5"))) == TrainConfig(seed=5)


def test_overrides_change_only_what_they_name():
    config = load_config(
        "finetune",
        "digits",
        [
            "finetuning.optimizer.name=adamw",
            "finetuning.guidance.l2_sp.weight=1e-3",
            "base_lr=3E-2",
            "choice.schedule={name: step, options: {milestones: [0.5, .75]}}",
            "choice.early_stopping.patience=3",
        ],
    )
    assert config.finetuning.optimizer == Named(name="adamw")
    assert config.finetuning.guidance == {"proxy_kl": {"weight": 0.3}, "l2_sp": {"weight": 0.001}}
    assert config.base_lr == 0.03
    assert config.choice.schedule == Named(name="step", options={"milestones": [0.5, 0.75]})
    assert config.choice.early_stopping == {"patience": 3}
    assert config.task == FinetuneConfig().task


def test_overrides_reach_into_lists_and_dotted_names(write):
    path = write("rows: [{label: a}, {label: b}]")
    config = load_config("benchmark", path, ["rows.1.label=c", "rows.1.guidance={}"])
    assert config.rows == (Row(label="a"), Row(label="c", guidance={}))
    train = load_config("train", "demo", ['environment.rewards."my.module:Reward"=2'])
    assert train.environment.rewards["my.module:Reward"] == 2.0


def test_later_overrides_win_and_whole_floats_are_integers():
    config = load_config("train", "demo", ["episodes=1", "episodes=1e4", "minutes=null"])
    assert config.episodes == 10_000
    assert config.minutes is None
    assert load_config("train", "demo", ["minutes="]).minutes is None


WRONG_FIELDS = [
    ("sed: 1", ["sed = 1: unknown field", "Did you mean seed?", "Allowed: algorithm,"]),
    ("finetuning: {stepz: 3}", ["finetuning.stepz = 3", "mean finetuning.steps?"]),
    ("optimiser: adam", ["optimiser = 'adam'", "Did you mean finetuning.optimizer?"]),
    ("seed: true", ["seed = True: must be a valid integer (Seed of everything.)"]),
    ("seed: '1'", ["seed = '1': must be a valid integer"]),
    ("episodes: 0", ["episodes = 0: must be greater than 0"]),
    ("episodes: 1.5", ["episodes = 1.5: must be a valid integer"]),
    ("minutes: .inf", ["minutes = inf: must be a finite number"]),
    ("name: 7", ["name = 7: must be a valid string", 'in quotes: "7"']),
    ("evaluation: 5", ["evaluation = 5: must be a mapping"]),
    ("task: {options: {}}", ["task.name: missing"]),
    ("environment: {base_lr: [0.1]}", ["environment.base_lr = [0.1]: has 1 values, too few"]),
    ("environment: {base_lr: [1, 0.1]}", ["base_lr = [1, 0.1]: must be a range"]),
    ("environment: {signal_dropout: 1}", ["signal_dropout = 1: must be less than 1"]),
    ("finetuning: {device: gpu}", ["finetuning.device = 'gpu': must be auto, cpu"]),
    ("finetuning: {guidance: [proxy_kl]}", ["finetuning.guidance = ['proxy_kl']: must be a mapp"]),
    ("seed: -1\nepisodes: x\nfoo: 1", ["3 fields are wrong", "seed = -1", "episodes = 'x'", "foo"]),
    ("- 1", ["must be a mapping of fields, got [1]"]),
    ("seed: 1\nseed: 2", ["line 2", "key 'seed' is given twice"]),
    ("seed: [", ["line 1", "not usable YAML"]),
    ("extends: no-such", ["no train preset named 'no-such'"]),
    ("extends: [demo]", ["extends = ['demo']: must be"]),
    ("extends: own.yaml", ["extends itself"]),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_FIELDS, ids=[case[0] for case in WRONG_FIELDS])
def test_wrong_config_names_field_value_and_rule(text, expected, write):
    with pytest.raises(ConfigError) as caught:
        load_config("train", write(text))
    for part in expected:
        assert part in str(caught.value)


def test_unions_are_explained_once(write):
    path = write("choice: {schedule: 3, profile: {nam: flat}}")
    with pytest.raises(ConfigError) as caught:
        load_config("finetune", path)
    message = str(caught.value)
    assert message.count("choice.schedule = 3") == 1
    assert "must be a mapping, or must be a valid string" in message
    assert "choice.profile.name: missing" in message
    assert (
        "choice.profile.nam = 'flat': unknown field. Did you mean choice.profile.name?" in message
    )
    assert "Named" not in message.replace("Name in", "")


def test_errors_in_lists_name_the_index(write):
    path = write("rows: [{label: a}, {label: b, schedul: x}]")
    with pytest.raises(ConfigError, match=r"rows\.1\.schedul = 'x'.*mean rows\.1\.schedule\?"):
        load_config("benchmark", path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "is not an override; write key=value"),
        ("=3", "is not an override"),
        ("a..b=3", "is not an override"),
        ("choice.schedule.name=x", "choice.schedule is 'constant', which holds no 'name'"),
        ("seed=[", "value of seed"),
        ("seed={a: 1, a: 2}", "given twice"),
        ("seeed=3", "Did you mean seed?"),
    ],
)
def test_wrong_override_is_named(override, message, write):
    with pytest.raises(ConfigError) as caught:
        load_config("finetune", write(""), [override])
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["rows.2.label", "rows.x.label", "claims.0.claim"])
def test_override_outside_a_list_is_named(key, write):
    with pytest.raises(ConfigError, match=r"must be an index from 0 to 1|an empty list"):
        load_config("benchmark", write("rows: [{label: a}, {label: b}]"), [f"{key}=c"])


def test_extends_presets_and_files(write):
    write("extends: demo\nseed: 3\nfinetuning: {guidance: {}}", "base.yaml")
    config = load_config("train", write("extends: base.yaml\nfinetuning: {steps: 7}"))
    demo = load_config("train", "demo")
    assert config.seed == 3
    assert config.finetuning.guidance == {}
    assert config.finetuning.steps == 7
    assert config.environment == demo.environment
    write("extends: second.yaml", "first.yaml")
    with pytest.raises(ConfigError, match="extends itself"):
        load_config("train", write("extends: first.yaml", "second.yaml"))


def test_missing_sources_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"preset named 'dem'\. Did you mean 'demo'\?"):
        load_config("train", "dem")
    with pytest.raises(ConfigError, match=r"nothing\.yaml does not exist"):
        load_config("train", tmp_path / "nothing.yaml")
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match=r"is a folder; did you mean .*config\.yaml"):
        load_config("train", tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_source("train", tmp_path / "binary.yaml")


def test_source_names():
    assert source_name("demo") == "demo"
    assert source_name(Path("some/where/mine.yaml")) == "mine"


def test_differences_name_fields():
    old = TrainConfig()
    new = TrainConfig(seed=2, environment=Environment(rewards={"final_accuracy": 1.0}))
    assert differences(old, old) == []
    assert differences(old, new) == [
        "seed: 0 -> 2",
        "environment.rewards.target: 10.0 -> None",
        "environment.rewards.divergence: 1.0 -> None",
        "environment.rewards.final_accuracy: None -> 1.0",
    ]


def test_differences_of_rows_name_the_row_and_its_field():
    def config(*rows):
        return BenchmarkConfig(
            title="a", task=Named(name="digits"), rows=[Row(**row) for row in rows]
        )

    one, two = {"schedule": "cosine", "label": "one"}, {"schedule": "constant", "label": "two"}
    assert differences(config(one, two), config(one, {**two, "profile": "frozen_backbone"})) == [
        "rows[two].profile: 'flat' -> 'frozen_backbone'"
    ]
    assert differences(config(one, two), config(two, one)) == []
    (gone,) = differences(config(one, two), config(two))
    assert gone.startswith("rows[one]: {'policy': None")
    assert gone.endswith("... -> None")
    assert len(gone) < 500


def test_differences_of_entries_without_labels_name_their_number():
    def config(*names):
        return TrainConfig(task=Named(name="a", options={"augment": [{"name": n} for n in names]}))

    old = config("flip", "crop")
    assert differences(old, config("flip", "blur")) == [
        "task.options.augment[1].name: 'crop' -> 'blur'"
    ]
    assert differences(old, config("flip")) == [
        "task.options.augment: [{'name': 'flip'}, {'name': 'crop'}] -> [{'name': 'flip'}]"
    ]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["1e-3", "null", "yes", "0x1F", "017", "1_000", "12:30", "~", ".inf", "2020-01-01", "<<", "="]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OPTIONS = st.dictionaries(TEXT, PLAIN, max_size=3)
NAMED = st.builds(Named, name=TEXT, options=OPTIONS)
POSITIVE = st.floats(min_value=0, exclude_min=True, max_value=1e6)
TRAIN = st.builds(
    TrainConfig,
    name=TEXT,
    seed=st.integers(0, 2**63 - 1),
    task=NAMED,
    environment=st.builds(
        Environment, multipliers=OPTIONS, rewards=st.dictionaries(TEXT, POSITIVE, max_size=2)
    ),
    minutes=st.none() | POSITIVE,
)
BENCHMARK = st.builds(
    BenchmarkConfig,
    title=TEXT,
    rows=st.lists(
        st.builds(Row, label=TEXT, schedule=NAMED | TEXT, early_stopping=st.none() | OPTIONS),
        max_size=2,
    ).map(tuple),
    base_lr_factors=st.lists(POSITIVE, max_size=3).map(tuple),
)
FINETUNE = st.builds(FinetuneConfig, choice=st.builds(PolicyChoice, policy=st.none() | TEXT))


@settings(max_examples=60, deadline=None)
@given(config=TRAIN | BENCHMARK | FINETUNE)
def test_dumped_configs_load_back_equal(config):
    from l2o.configs.yaml_text import parse_yaml

    data = parse_yaml(dump_config(config), "dump")
    assert data == config_data(config)
    assert check_config(type(config), data, "dump") == config


@settings(max_examples=60, deadline=None)
@given(data=st.dictionaries(TEXT | st.sampled_from(list(TrainConfig.model_fields)), PLAIN))
def test_any_plain_data_is_a_config_or_a_config_error(data):
    with suppress(ConfigError):
        check_config(TrainConfig, data, "any")


def test_dump_is_readable_by_other_yaml_readers():
    config = load_config("train", "demo")
    assert yaml.safe_load(dump_config(config)) == config_data(config)
