"""What happens to a request. No I/O library is imported here; edges implement the ports."""
