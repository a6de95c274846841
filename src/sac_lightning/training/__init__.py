"""The glue to PyTorch Lightning: module, data module, callbacks and loggers."""
