/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-launcher.h"

G_BEGIN_DECLS

#define WP_TYPE_FORKSERVER_LAUNCHER (wp_forkserver_launcher_get_type ())
G_DECLARE_FINAL_TYPE (WpForkserverLauncher, wp_forkserver_launcher, WP, FORKSERVER_LAUNCHER, WpLauncher)

/* Makes workers as copies of a server process, which runs the host 'argv', loads the modules 'preload' and calls
 * 'function' before the first of them; both are nullable. */
WpLauncher *wp_forkserver_launcher_new (const char *const *argv,
                                        const char *const *preload,
                                        const char        *function);

G_END_DECLS
