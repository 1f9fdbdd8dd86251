"""The rule, its two colours, and the strands of a pass. Knows a Recorder protocol, never a driver."""
