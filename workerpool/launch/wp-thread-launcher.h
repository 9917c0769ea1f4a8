/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-launcher.h"

G_BEGIN_DECLS

#define WP_TYPE_THREAD_LAUNCHER (wp_thread_launcher_get_type ())
G_DECLARE_FINAL_TYPE (WpThreadLauncher, wp_thread_launcher, WP, THREAD_LAUNCHER, WpLauncher)

/* Makes each worker a thread of this process. shared_objects: (nullable): what all of them see. */
WpLauncher *wp_thread_launcher_new (GVariant *shared_objects);

G_END_DECLS
