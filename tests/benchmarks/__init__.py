"""What chanstream costs: beside asyncio alone, beside its peers, and as things grow. Run it with ``python -m tests.benchmarks``."""
