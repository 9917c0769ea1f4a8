/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The argv of the host of a pool that names none: this program when it registered functions, else the generic
 * host. (transfer full) */
char **wp_host_get_default_argv (GError **error);

G_END_DECLS
