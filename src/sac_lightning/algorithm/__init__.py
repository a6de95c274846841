"""The algorithm: SAC in one class, its losses, the policy and diagnostics."""
