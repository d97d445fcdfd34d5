"""Operators' hands: what a person may do to requests, dead letters and providers. Shared by every surface."""
