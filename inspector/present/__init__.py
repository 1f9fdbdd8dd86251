"""From rows to what a page shows: pure functions from frozen values to frozen view-models.

Nothing here asks a database or a clock; `now` is an argument. A template then only loops and tests. The view-models are
what the ``.json`` twins answer, too.
"""
