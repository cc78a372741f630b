"""Runs a terminal program that expects a screen: terminal.py PROGRAM [ARGUMENT...]. At most 60 seconds."""

import os
import pty
import select
import signal
import sys
import time

pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

deadline = time.monotonic() + 60
seen = b""
while time.monotonic() < deadline:
    ready, _, _ = select.select([master], [], [], 0.5)
    if ready:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen = (seen + chunk)[-20000:]
else:
    os.kill(pid, signal.SIGKILL)
    sys.stdout.write(seen.decode("utf-8", "replace"))
    sys.exit("the program did not end")
_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode("utf-8", "replace"))
sys.exit(os.waitstatus_to_exitcode(status))
