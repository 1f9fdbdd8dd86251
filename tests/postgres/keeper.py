"""Ends a PostgreSQL server when the last process that uses it is gone, however it went.

    python keeper.py FOLDER

Users hold a shared lock on FOLDER/users, which the system frees when a process dies. Whoever then gets the whole lock kills
the server and removes the folder. Stands alone: it must not depend on the tree that is being tested.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time


def main(folder):
    """Wait until nobody uses the server, then end it."""
    users = os.open(os.path.join(folder, "users"), os.O_RDWR)
    if os.fork():  # whoever called must not have to wait for this
        return
    os.setsid()
    fcntl.flock(users, fcntl.LOCK_EX)
    _end(os.path.join(folder, "data", "postmaster.pid"))
    if os.path.ismount(os.path.join(folder, "disk")):
        subprocess.run(["umount", "-l", os.path.join(folder, "disk")], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid_file):
    """In order if it can, so that it leaves no shared memory behind; a stopped server is waked for it."""
    for blow in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        for turn in range(60):
            try:
                with open(pid_file) as file:
                    pid = int(file.readline())
                os.kill(pid, signal.SIGCONT)
                if turn == 0:
                    os.kill(pid, blow)
            except (OSError, ValueError):  # it is not running: a server takes its file away as it goes
                return
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
