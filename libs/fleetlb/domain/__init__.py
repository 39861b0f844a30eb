"""Values and decisions of load balancing. Pure: knows no clock, no I/O, no logging and no message format."""
