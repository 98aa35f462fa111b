"""What ``b2g-rt bench`` measures: latency and load beside bare receipt, pauses, idle load, equality, pictures."""
