"""The entropy lab: small real experiments on SAC's entropy, each a table and a figure drawn from it alone."""
