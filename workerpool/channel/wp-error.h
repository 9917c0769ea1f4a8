/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"

G_BEGIN_DECLS

/**
 * WP_ERROR:
 *
 * The error domain of the library's own errors. Errors of bad arguments, of cancellation and of calls
 * that would have to wait are in `G_IO_ERROR`.
 *
 * Since: 1.0
 */
#define WP_ERROR (wp_error_quark ())

/**
 * WpError:
 * @WP_ERROR_FAILED: a task failed with an error that could not keep its own domain
 * @WP_ERROR_WORKER_DIED: the worker that ran the task died before the task ended
 * @WP_ERROR_START_FAILED: no worker could be started
 * @WP_ERROR_PROTOCOL: the worker that ran the task broke the protocol of the channel
 * @WP_ERROR_NESTED: a daemonic worker tried to start a pool of its own
 * @WP_ERROR_UNKNOWN_FUNCTION: the host does not know the function
 * @WP_ERROR_INVALID_RESULT: the function returned nothing, a value beside an error, or a value
 *   that cannot be sent
 * @WP_ERROR_CLOSED: the pool or the batch takes no more tasks
 *
 * The codes of `WP_ERROR`. The message of each says what was asked, what happened, and what to do.
 *
 * Since: 1.0
 */
typedef enum
{
  WP_ERROR_FAILED,
  WP_ERROR_WORKER_DIED,
  WP_ERROR_START_FAILED,
  WP_ERROR_PROTOCOL,
  WP_ERROR_NESTED,
  WP_ERROR_UNKNOWN_FUNCTION,
  WP_ERROR_INVALID_RESULT,
  WP_ERROR_CLOSED,
} WpError;

WP_PUBLIC
GQuark wp_error_quark (void);

G_END_DECLS
