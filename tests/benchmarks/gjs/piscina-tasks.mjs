// SPDX-License-Identifier: LGPL-2.1-or-later

// Piscina takes functions from a file only.

export const addOne = n => n + 1;
export const getLength = bytes => bytes.length;
