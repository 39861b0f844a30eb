"""Where a Service is on its way, what keeps it there, and what to do: for the command line and the status page."""
