/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

/* wait_finish () for a class whose wait_async () returns the status as the integer of a GTask. */
gboolean wp_worker_process_finish_wait (WpWorkerProcess *self,
                                        GAsyncResult    *result,
                                        int             *status,
                                        GError         **error);

G_END_DECLS
