/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-batch.h"
#include "pool/wp-job.h"

G_BEGIN_DECLS

/* The batch of a job that has been submitted. pool: kept alive by the batch. The job is taken. */
WpBatch *wp_batch_new (GObject *pool, WpJob *job);

G_END_DECLS
