"""Sweeps: the jobs of one command line, run by a launcher of Hydra's and kept in one folder."""
