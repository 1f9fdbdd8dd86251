"""Looking on at runs: counters for metrics, spans for traces. Both stand on `engine.observer`, and neither changes anything."""
