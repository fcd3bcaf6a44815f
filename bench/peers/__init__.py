"""The same work done by other means, to hold ours against: small programs, each run by `bench.peer_runs`."""
