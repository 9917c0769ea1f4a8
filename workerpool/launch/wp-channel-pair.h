/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Makes the two ends of a local worker's channel: the pool's (transfer full), NULL after an error, and the worker's
 * descriptor. */
GIOStream *wp_channel_pair_new (int *worker_fd, GError **error);

G_END_DECLS
