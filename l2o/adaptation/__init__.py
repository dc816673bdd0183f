"""Adaptation: what a training makes of unlabelled images of the target."""

from l2o.adaptation.adr import ADR
from l2o.adaptation.avh import AVH, angles, visual_hardness
from l2o.adaptation.base import IGNORED, Adaptation, Batch, Phase, Side
from l2o.adaptation.cbst import CBST
from l2o.adaptation.class_balanced import ClassBalanced
from l2o.adaptation.coral import CORAL
from l2o.adaptation.dann import DANN, reverse_gradient
from l2o.adaptation.drst import DRST
from l2o.adaptation.ema import EmaTeacher
from l2o.adaptation.feature_term import FeatureTerm
from l2o.adaptation.label_free import LABEL_FREE, Predictions
from l2o.adaptation.last_layer import HeadInputs, LastLayer
from l2o.adaptation.lrent import LRENT
from l2o.adaptation.mcd import MCD
from l2o.adaptation.mixing import target_orders
from l2o.adaptation.mmd import MMD
from l2o.adaptation.mrkld import MRKLD, even_divergence
from l2o.adaptation.output_terms import EntropyMinimisation, InformationMaximisation
from l2o.adaptation.plain_labels import Entropy, Threshold
from l2o.adaptation.pseudo_labels import PseudoLabels
from l2o.adaptation.quantiles import ClassQuantiles
from l2o.adaptation.regularised_labels import EntropyRegularised
from l2o.adaptation.robust import robust_cross_entropy, robust_logits
from l2o.adaptation.selection import Selection, choose_all
from l2o.adaptation.self_training import SelfTraining, kept_cross_entropy
from l2o.adaptation.shares import Share
from l2o.adaptation.simple_selections import AboveThreshold, LowEntropy

ADAPTATION: dict[str, type[Adaptation]] = {
    "cbst": CBST,
    "mrkld": MRKLD,
    "lrent": LRENT,
    "avh": AVH,
    "drst": DRST,
    "threshold": Threshold,
    "entropy": Entropy,
    "mmd": MMD,
    "coral": CORAL,
    "dann": DANN,
    "mcd": MCD,
    "adr": ADR,
    "entropy_minimisation": EntropyMinimisation,
    "information_maximisation": InformationMaximisation,
}

__all__ = [
    "ADAPTATION",
    "ADR",
    "AVH",
    "AboveThreshold",
    "Adaptation",
    "Batch",
    "CBST",
    "CORAL",
    "ClassBalanced",
    "ClassQuantiles",
    "DANN",
    "DRST",
    "EmaTeacher",
    "Entropy",
    "EntropyMinimisation",
    "EntropyRegularised",
    "FeatureTerm",
    "HeadInputs",
    "IGNORED",
    "InformationMaximisation",
    "LABEL_FREE",
    "LRENT",
    "LastLayer",
    "LowEntropy",
    "MCD",
    "MMD",
    "MRKLD",
    "Phase",
    "Predictions",
    "PseudoLabels",
    "Selection",
    "SelfTraining",
    "Share",
    "Side",
    "Threshold",
    "angles",
    "choose_all",
    "even_divergence",
    "kept_cross_entropy",
    "reverse_gradient",
    "robust_cross_entropy",
    "robust_logits",
    "target_orders",
    "visual_hardness",
]
