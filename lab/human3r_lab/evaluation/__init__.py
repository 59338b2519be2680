"""How good the estimates are: metrics, benchmarks, and reports with numbers to re-run."""
