/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Checks what a caller gave as the CPUs of workers, numbers or arrays of numbers: one for all workers, or one for each
 * of n_jobs; all below n_cpus. Returns them as "aau", or NULL with G_IO_ERROR_INVALID_ARGUMENT. Pure.
 * (transfer full) */
GVariant *wp_cpu_ids_normalize (GVariant *cpu_ids, guint n_jobs, guint n_cpus, GError **error);

G_END_DECLS
