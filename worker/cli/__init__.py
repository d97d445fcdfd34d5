"""The `provisioner` program: verbs and arguments only; what they do lives below."""
