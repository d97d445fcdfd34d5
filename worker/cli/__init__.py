"""The `provisioner` program: verbs and arguments only; what they do lives below."""

import gc

# Loading the libraries makes a great many objects, and all of them stay: looking for garbage among them again and again
# takes a seventh of a start.
gc.set_threshold(250_000)
