"""A long run: a real broker, ledger and workers, everything that can go wrong going wrong, and the books compared."""
