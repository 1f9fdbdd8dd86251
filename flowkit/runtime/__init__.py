"""Runs under way: claimed, executed pass by pass, and given up again. Joins the engine to a driver."""
