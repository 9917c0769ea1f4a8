/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Errors after which a task may run again. Shared by options and the jobs that were made with them, and never changed
 * while it is shared. */
typedef struct _WpRetryErrors WpRetryErrors;

/* others: (nullable): what the new ones also hold. */
WpRetryErrors *wp_retry_errors_new     (const WpRetryErrors *others, GQuark domain, int code);
WpRetryErrors *wp_retry_errors_ref     (WpRetryErrors *self);
void           wp_retry_errors_unref   (WpRetryErrors *self);
gboolean       wp_retry_errors_contain (const WpRetryErrors *self, const GError *error);

G_END_DECLS
