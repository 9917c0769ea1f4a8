// SPDX-License-Identifier: LGPL-2.1-or-later

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Wp from 'gi://WorkerPool?version=1.0';

const loop = new GLib.MainLoop(null, false);

async function main() {
  const pool = new Wp.WorkerPool({
    n_jobs: 2,
    shared_objects: {stopWords: new Set(['the', 'a'])},
    worker_init() {
      this.state.nWords = 0;
    },
    worker_exit() {
      return this.state.nWords;
    },
  });

  const count = function (text) {
    const words = text.split(' ').filter(word => !this.shared.stopWords.has(word));
    this.state.nWords += words.length;
    this.emit(`${words.length} words`);
    return words.length;
  };
  const counts = await pool.map(count, ['the fox', 'a dog sleeps'], {
    onEvent: (index, event) => print(`text ${index}: ${event}`),
    chunkSize: 2,
  });
  print(counts.join(' '));

  const cancellable = new Gio.Cancellable();
  GLib.timeout_add(GLib.PRIORITY_DEFAULT, 100, () => {
    cancellable.cancel();
    return GLib.SOURCE_REMOVE;
  });
  try {
    await pool.apply(() => new Promise(() => {}), [], {cancellable, taskTimeout: 60000});
  } catch (error) {
    print(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED));
  }

  await pool.join();
  print(pool.exitResults().reduce((sum, n) => sum + n, 0));
}

main().catch(logError).finally(() => loop.quit());
loop.run();
