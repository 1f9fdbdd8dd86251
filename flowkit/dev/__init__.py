"""`flowkit dev`: reload on save, without losing a run.

A *supervisor* owns terminal, watcher and web server and never imports user code, so a typo cannot take them down. The code
runs in *generations*: child processes that import the APP, say what is in it, try the open runs under it, and work when they
are told. One generation claims runs at a time; what makes that safe is not this package but the fence of every write.

`supervisor` is the loop that hears events, `handover` decides which generation works, `loads` when the next one loads and
`consent` whether a person must allow it; `generation` is the handle on a child, `child` the process itself, `protocol` what
they say to each other, `watch` the files, `herald` and `report` what is told on the terminal, `live` what the inspector is told.

Nothing is imported here: a child must not load what only the supervisor needs.
"""
