/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-launcher.h"

G_BEGIN_DECLS

#define WP_TYPE_FORK_LAUNCHER (wp_fork_launcher_get_type ())
G_DECLARE_FINAL_TYPE (WpForkLauncher, wp_fork_launcher, WP, FORK_LAUNCHER, WpLauncher)

/* Makes each worker a copy of this process. */
WpLauncher *wp_fork_launcher_new (void);

G_END_DECLS
