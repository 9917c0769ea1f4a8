/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "launch/wp-worker-process.h"

G_BEGIN_DECLS

#define WP_TYPE_CHILD_PROCESS (wp_child_process_get_type ())
WP_PUBLIC
G_DECLARE_FINAL_TYPE (WpChildProcess, wp_child_process, WP, CHILD_PROCESS, WpWorkerProcess)

WP_PUBLIC
WpWorkerProcess *wp_child_process_new (int pid, GIOStream *channel, GError **error);

G_END_DECLS
