"""Private servers for the demo, the tests and `make run`: standard library only, so it runs before any installation."""
