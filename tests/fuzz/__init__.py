"""Arbitrary bytes against everything that reads bytes: `tests.fuzz.targets` says what there is.

`script/fuzz` looks for inputs, guided by coverage; what it has found worth keeping is in `corpus/`,
which tests/unit/test_fuzz.py replays.
"""
