"""What people use otherwise, measured beside flowkit: each peer in a process of its own, with its own slices of R.

    python -m tests.bench.peers.dbos A FOLDER

prints a JSON line for each figure: name, measured, ratio. A peer that is not installed is left out, and the bench says so.
"""
