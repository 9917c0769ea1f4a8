// SPDX-License-Identifier: LGPL-2.1-or-later

import GLib from 'gi://GLib';
import Wp from 'gi://WorkerPool?version=1.0';

const loop = new GLib.MainLoop(null, false);

async function main() {
  const pool = new Wp.WorkerPool({n_jobs: 2});

  const squares = await pool.map(n => n * n, [1, 2, 3, 4]);
  print(squares.join(' '));

  const tasks = pool.proxy(GLib.Uri.resolve_relative(import.meta.url, 'text-tasks.js', GLib.UriFlags.NONE));
  print(await tasks.countWords('the quick brown fox'));

  for await (const length of pool.imap(word => word.length, ['promise', 'pool']))
    print(length);

  const photos = [{name: 'a', pixels: new Uint8Array(3)}, {name: 'b', pixels: null}];
  const sizes = await pool.map(photo => photo.pixels.length, photos, {onError: Wp.OnError.CONTINUE});
  print(sizes[0], sizes[1] instanceof TypeError);

  await pool.join();
}

main().catch(logError).finally(() => loop.quit());
loop.run();
