"""The cases of `driver_suite`, one module per part of the port. Each case is one sentence about what a driver does."""
