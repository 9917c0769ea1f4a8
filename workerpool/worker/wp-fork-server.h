/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Runs this process as a fork server: loads what its pool names, and then makes the pool's workers as copies of
 * itself, until the pool closes its socket (TRUE). It never returns in a worker. */
gboolean wp_fork_server_run (GError **error);

G_END_DECLS
