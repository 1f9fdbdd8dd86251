"""What a history is and how it is read: pure code, no await, no input or output, no clock."""
