"""The provisioning worker: one account per request, never two, and an honest word on what is in doubt."""

__version__ = "0.1.0"
