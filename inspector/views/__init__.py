"""One module per noun: each function makes the `Page` of one address."""
