"""Judging: one engine per kind of rule, shared windows, and the evaluator of one target. Pure: time is passed in."""
