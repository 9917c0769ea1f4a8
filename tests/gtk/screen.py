# SPDX-License-Identifier: LGPL-2.1-or-later

"""A screen that nobody sees, and programs on it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time

TOP = os.environ['WORKERPOOL_SOURCE_ROOT']
BUILD = os.environ['WORKERPOOL_BUILD_ROOT']
EXAMPLES = os.path.join(TOP, 'docs/examples')

# In seconds.
TIMEOUT = 60
# The priority of a session among others, as of a process; what is lower goes first.
SESSION_NICE = -20

ENVIRONMENT = {
    'ADW_DISABLE_PORTAL': '1',
    'GDK_BACKEND': 'x11',
    'GSETTINGS_BACKEND': 'memory',
    'GSK_RENDERER': 'cairo',
    'GTK_A11Y': 'none',
    'LC_ALL': 'C.UTF-8',
    'NO_AT_BRIDGE': '1',
}


def go_first():
    """What else the machine does at the moment is not what is measured. Only root may ask, and only for a session of its
    own. The screen is in it, too: it draws for the window, and the workers yield to both."""
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError), open('/proc/self/autogroup', 'w', encoding='ascii') as file:
            file.write(str(SESSION_NICE))


def list_session():
    """The processes of this session that have not ended."""
    for name in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
            state, _, _, session = file.read().rpartition(')')[2].split()[:4]
            if int(session) == os.getsid(0) and state != 'Z':
                yield int(name)


class Screen:
    def __enter__(self):
        go_first()
        reader, writer = os.pipe()
        self.server = subprocess.Popen(['Xvfb', '-displayfd', str(writer), '-screen', '0', '1280x800x24',
                                        '-nolisten', 'tcp'],
                                       pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        with open(reader, encoding='ascii') as file:
            self.display = ':' + file.readline().strip()
        if self.display == ':':
            raise RuntimeError(f'Xvfb ended with {self.server.wait()}')
        return self

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait(TIMEOUT)

    def run(self, command, **variables):
        """Runs a program to its end: its status, what it printed, and the processes that it left."""
        before = set(list_session())
        with tempfile.TemporaryFile('w+', encoding='utf-8') as output:
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                  env=os.environ | ENVIRONMENT | {'DISPLAY': self.display} | variables) as process:
                try:
                    status = process.wait(TIMEOUT)
                except subprocess.TimeoutExpired:
                    status = 'none: it did not end'
                    process.kill()
            left = wait_for_end(before)
            output.seek(0)
            return status, output.read(), left


def wait_for_end(before):
    """What a program has left: workers need a moment to see that their pool is gone."""
    end = time.monotonic() + TIMEOUT
    while (left := set(list_session()) - before) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def make_photos(name, n_photos, size='1600x1200'):
    """The folder with so many landscapes, and with the two files that do not decode."""
    folder = os.path.join(BUILD, 'tests/gtk', name)
    if not os.path.isdir(folder):
        part = folder + '.part'
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run([os.path.join(EXAMPLES, 'make-photos'), part, str(n_photos), size], check=True, timeout=300)
        os.rename(part, folder)
    return folder


def make_loaders():
    """The list of gdk-pixbuf's loaders, with the hostile one."""
    path = os.path.join(BUILD, 'tests/gtk/loaders.cache')
    query = os.environ['GDK_PIXBUF_QUERY_LOADERS']
    with open(path, 'w', encoding='utf-8') as file:
        for loaders in [], [os.path.join(BUILD, 'docs/examples/hostile-loader.so')]:
            subprocess.run([query, *loaders], stdout=file, check=True, timeout=TIMEOUT)
    return path
