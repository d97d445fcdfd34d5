"""`python -m worker` is the same as `provisioner`."""

from worker.cli.program import main

main()
