"""Learning to simulate: REINFORCE over a simulator's parameters, and its rivals on one budget."""

from l2o.policies.reinforce.simulators.base import Search, Tried
from l2o.registry import ImportedTable

SEARCHES: ImportedTable[type[Search]] = ImportedTable(
    {
        "reinforce": "l2o.policies.reinforce.simulators.reinforce:Reinforce",
        "ppo": "l2o.policies.reinforce.simulators.ppo:PPOSearch",
        "rllib_ppo": "l2o.policies.reinforce.simulators.rllib_ppo:RLlibPPOSearch",
        "random": "l2o.policies.reinforce.simulators.random_search:RandomSearch",
        "optuna": "l2o.policies.reinforce.simulators.optuna_search:OptunaSearch",
        "widening": "l2o.policies.reinforce.simulators.curriculum:Curriculum",
    }
)
"""By name; each is imported when used."""

__all__ = ["SEARCHES", "Search", "Tried"]
