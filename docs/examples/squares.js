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

const pool = new Wp.WorkerPool();
const squares = pool.map('square', new GLib.Variant('ai', [1, 2, 3, 4]), null, null);
print(JSON.stringify(squares.recursiveUnpack()));
