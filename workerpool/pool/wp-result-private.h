/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-result-queue.h"
#include "pool/wp-result.h"

G_BEGIN_DECLS

/* Exactly one of value (not floating) and error; takes it, and the notes of the run. */
WpResult *wp_result_new (guint64 index, GVariant *value, GError *error, const WpTaskRun *run);

G_END_DECLS
