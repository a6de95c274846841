"""The replay buffer on disk: an append-only journal."""
