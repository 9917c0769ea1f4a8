// SPDX-License-Identifier: LGPL-2.1-or-later

import GLib from 'gi://GLib';
import System from 'system';
import Wp from 'gi://WorkerPool?version=1.0';

Wp.register_function('square', (context, args) => {
  const number = args.unpack();
  return new GLib.Variant('x', number * number);
});
if (Wp.Worker.is_requested())
  System.exit(Wp.Worker.main());

const pool = new Wp.WorkerPool({nJobs: 2, keepAlive: true});
try {
  for (const numbers of [[1, 2], [3, 4]]) {
    const squares = pool.map('square', new GLib.Variant('ai', numbers), null, null);
    print(JSON.stringify(squares.recursiveUnpack()));
  }
} catch (error) {
  pool.terminate();
  throw error;
} finally {
  pool.stop_and_join(null);
}
