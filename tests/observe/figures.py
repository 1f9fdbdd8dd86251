"""The text of a scrape, read back by the parser of the Prometheus project."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Figures"]


class Figures:
    """What a scrape said, by name and labels."""

    def __init__(self, text: bytes) -> None:
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float | None:
        """One figure; None if it is not there."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def labels(self, name: str, label: str) -> set[str]:
        """All that a label says under a name."""
        return {dict(labels).get(label, "") for found, labels in self.samples if found == name}
