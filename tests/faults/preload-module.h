/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* Set in the environment of a fork server: what goes wrong when it loads the module, "crash", "exit" or "hang". */
#define PRELOAD_VARIABLE "WP_TEST_PRELOAD"
