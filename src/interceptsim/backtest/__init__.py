"""Recorded traffic through the same policies: reading records, deciding them, telling what rules did."""
