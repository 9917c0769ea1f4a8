/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-event-callback.h"
#include "pool/wp-retry-errors.h"
#include "pool/wp-task-options.h"

G_BEGIN_DECLS

/* Returns: (transfer full) (nullable) */
WpRetryErrors *wp_task_options_ref_retry_errors (WpTaskOptions *self);
/* Returns: (transfer full) (nullable) */
WpEventCallback *wp_task_options_ref_event_callback (WpTaskOptions *self);

G_END_DECLS
