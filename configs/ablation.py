"""The schema of ablations: policies that are learned with one thing changed each."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from l2o.configs.schema import Count, Number, Options, Seed, Strict


class Variant(Strict):
    """A policy of an ablation: what is different while it is learned."""

    group: str = ""
    """What it is about (signals, reward, network, algorithm): rows of a group stand together."""
    changes: Options = {}
    """Fields of the training config: dotted key -> value, as on the command line."""
    against: str | None = None
    """Label of the variant that it is compared with; null: the first."""
    seed_shift: Seed = 0
    """Added to the learning seeds: alone, a control of what another seed does."""


class AblationConfig(Strict):
    """`l2o benchmark`, with variants: policies learned alike but for one thing, and compared."""

    title: str = "Ablation"
    """Heading of the report."""
    train: str = "ablation"
    """The training config: a preset's name, or a YAML file's path."""
    changes: Options = {}
    """What all variants change of it: dotted key -> value, as on the command line."""
    variants: dict[str, Variant] = Field(min_length=2)
    """Variants: label -> what it changes; the first is the base; null leaves out a preset's."""
    fine_tunes: Count = 576
    """Budget of each variant, in fine-tunes; imitation counts."""
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    """Learning seeds; each variant is learned once from each."""
    episodes: Annotated[int, Field(ge=2, le=1_000_000)] = 128
    """Drawn episodes that every policy is scored on, the same for all."""
    bootstrap: Number = 2000
    """Resamples of each confidence interval."""

    @field_validator("variants", mode="before")
    @classmethod
    def _leave_out(cls, variants: Any) -> Any:
        if not isinstance(variants, dict):
            return variants
        return {label: variant for label, variant in variants.items() if variant is not None}

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("names a learning seed twice; each must be another")
        return seeds

    @model_validator(mode="after")
    def _check_references(self) -> AblationConfig:
        base = next(iter(self.variants))
        for label, variant in self.variants.items():
            if label == base and variant.against is not None:
                raise ValueError(
                    f"variants.{label} is the first, the base, and is compared with none; "
                    "take out its `against`"
                )
            if variant.against is not None and variant.against not in self.variants:
                raise ValueError(
                    f"variants.{label}.against = {variant.against!r}: no such variant; there are "
                    + ", ".join(map(repr, self.variants))
                )
            if variant.against == label:
                raise ValueError(
                    f"variants.{label}.against = {label!r}: is the variant itself; name another"
                )
        return self

    def reference(self, label: str) -> str | None:
        """Return the label that a variant is compared with; None for the base."""
        base = next(iter(self.variants))
        return None if label == base else self.variants[label].against or base
