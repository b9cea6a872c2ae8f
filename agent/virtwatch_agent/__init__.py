"""The agent: discover, collect, derive, judge, journal, report; one process per node."""
