// SPDX-License-Identifier: LGPL-2.1-or-later

// Every export can be called in a worker.

export function countWords(text) {
  return text.split(/\s+/).filter(word => word !== '').length;
}

export async function search(path, pattern) {
  const {default: Gio} = await import('gi://Gio');
  const [, bytes] = Gio.File.new_for_path(path).load_contents(this.cancellable);
  const lines = new TextDecoder().decode(bytes).split('\n');

  this.emit(lines.length);
  return lines.filter(line => line.includes(pattern));
}
