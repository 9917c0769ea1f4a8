/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <workerpool.h>

G_BEGIN_DECLS

/* Pools inside of workers.
 *
 *   descend  (ssv), start methods separated by spaces, a function, and its arguments → what the function returns
 *
 * The task makes a pool of one worker by the first method, in which it descends further, or, below the last method,
 * runs the function. That pool's worker is daemonic, unless the method ends in LASTING; the others are not. It passes
 * on the task's own cancellation.
 */

#define LASTING "+"

void      register_descend (void);
/* The arguments of a descent. (floating) */
GVariant *make_descent     (const char *path, const char *function, GVariant *args);

G_END_DECLS
