/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* The one header to include. */

#include "channel/wp-error.h"
#include "launch/wp-child-process.h"
#include "launch/wp-launcher.h"
#include "launch/wp-spawn-launcher.h"
#include "launch/wp-worker-process.h"
#include "pool/wp-apply.h"
#include "pool/wp-batch.h"
#include "pool/wp-cpu-count.h"
#include "pool/wp-result.h"
#include "pool/wp-task-options.h"
#include "pool/wp-worker-pool.h"
#include "worker/wp-function.h"
#include "worker/wp-task-context.h"
#include "worker/wp-worker.h"
