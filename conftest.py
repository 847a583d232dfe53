"""How pytest compares notebooks; what the unit tests share is in tests/conftest.py."""


def pytest_collectstart(collector):
    """Leave stderr out of nbval's comparison: libraries in C write there as they please."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
