/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-channel.h"
#include "worker/wp-worker.h"

G_BEGIN_DECLS

/* Exit statuses of a worker, beside 0. */
#define WP_EXIT_OWNER_GONE 1
#define WP_EXIT_FAILED 2

/* Both take the channel. owner: the process that the worker ends with, 0 when that is not known. */
WpWorker *wp_worker_new_for_channel (WpChannel *channel, int owner);
/* asked: not 0 once the worker should end. shared_objects: (nullable). */
WpWorker *wp_worker_new_in_thread   (WpChannel *channel, const int *asked, GVariant *shared_objects);

G_END_DECLS
