# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the workerpool command as a user runs it, and says what is to come of it."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

from tap import expect, expect_equal

CLI = os.environ['WORKERPOOL_CLI']
MODULE = os.environ['WORKERPOOL_CLI_MODULE']

# Far more than any of this takes; a test that waits so long has failed.
PATIENCE = 30

# Whoever runs the tests may ignore it, as nohup does, and the command would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

FOLDER = tempfile.mkdtemp(prefix='workerpool-cli-')


def function(name):
    return f'{MODULE}:{name}'


def run(*arguments, stdin=b'', env=None, **keywords):
    return subprocess.run([CLI, *arguments], input=stdin, stdout=keywords.pop('stdout', subprocess.PIPE),
                          stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, timeout=PATIENCE,
                          check=False, **keywords)


def start(*arguments, **keywords):
    """Starts the command by setsid, so that what it leaves behind can be found."""
    keywords = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **keywords}
    return subprocess.Popen([CLI, *arguments], start_new_session=True, bufsize=0, **keywords)


def expect_run(result, status, stdout=None, stderr=b''):
    said = f'(standard error: {result.stderr!r})'
    expect_equal(result.returncode, status, f'the exit status {said}')
    if stdout is not None:
        expect_equal(result.stdout, stdout, 'standard output')
    if stderr is not None:
        expect_equal(result.stderr, stderr, 'standard error')


def read_line(process):
    """A line of its standard output, which must come without its input being closed."""
    line = b''
    end = time.monotonic() + PATIENCE
    while not line.endswith(b'\n'):
        ready, _, _ = select.select([process.stdout], [], [], end - time.monotonic())
        expect(ready, f'no result came; so far {line!r}')
        byte = process.stdout.read(1)
        expect(byte, f'the output ended after {line!r}')
        line += byte
    return line


def session_members(session):
    members = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
                state, _, _, member_of = file.read().rpartition(')')[2].split()[:4]
        except OSError:
            continue
        if int(member_of) == session and state not in 'ZX':
            members.append(int(pid))
    return members


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        expect(time.monotonic() < end, f'it never happened that {what}')
        select.select([], [], [], 0.005)


def path(name):
    return os.path.join(FOLDER, name)


def make_gates(*names):
    gates = [path(name) for name in names]
    for gate in gates:
        if os.path.exists(gate):
            os.unlink(gate)
        os.mkfifo(gate)
    return gates


def grip_gate(gate):
    """Opens the gate's other end, once a task waits at it."""
    opened = []

    def is_open():
        try:
            opened.append(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            expect_equal(error.errno, errno.ENXIO, 'the error')
        return opened

    wait_until(is_open, f'a task reads from {gate}')
    return opened[0]


def open_gate(gate, text):
    fd = grip_gate(gate)
    os.write(fd, text.encode())
    os.close(fd)


def run_on_terminal(columns, *arguments, stdin=subprocess.DEVNULL, act=lambda terminal: None):
    """Returns the exit status, standard output and what came on a terminal as standard error."""
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    process = subprocess.Popen([CLI, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=stderr)
    os.close(stderr)
    shown = act(terminal) or b''
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:
            break
        if not some:
            break
        shown += some
    os.close(terminal)
    stdout = process.stdout.read()
    process.stdout.close()
    return process.wait(timeout=PATIENCE), stdout, shown


def read_terminal_until(terminal, pattern):
    shown = b''
    end = time.monotonic() + PATIENCE
    while not re.search(pattern, shown):
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        expect(ready, f'the terminal never showed {pattern!r}, but {shown!r}')
        shown += os.read(terminal, 65536)
    return shown


def expect_usage_error(*arguments, says):
    result = run(*arguments)
    expect_equal((result.returncode, result.stdout), (2, b''), f'the run of {arguments}')
    expect_equal(result.stderr.count(b'\n'), 1, f'the number of lines in {result.stderr!r}')
    expect(result.stderr.startswith(b'workerpool: '), f'standard error is {result.stderr!r}')
    expect(says.encode() in result.stderr, f'{result.stderr!r} does not say {says!r}')
